// Asks cyclonus' evaluator about many connections at once. Its own command (analyze --mode query-traffic) prints two
// tables for each connection, and these take nearly all of its time.
//
// Reads from stdin what is asked, as one JSON object, and then JSON lists of policies. For each of these it writes a
// line, with 1 (allowed) or 0 for each question.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Question is one connection; Source and Destination are places in the list of peers.
type Question struct {
	Source, Destination, Port int
	PortName                  string
	Protocol                  v1.Protocol
}

// Asked is who there is, and which connections are asked about.
type Asked struct {
	Peers     []*matcher.TrafficPeer
	Questions []Question
}

func main() {
	if err := answer(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func answer(input io.Reader, output io.Writer) error {
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	var asked Asked
	if err := decoder.Decode(&asked); err != nil {
		return err
	}
	writer := bufio.NewWriter(output)
	for {
		var policies []*networkingv1.NetworkPolicy
		if err := decoder.Decode(&policies); errors.Is(err, io.EOF) {
			return writer.Flush()
		} else if err != nil {
			return err
		}
		if _, err := writer.Write(verdicts(asked, matcher.BuildNetworkPolicies(true, policies))); err != nil {
			return err
		}
	}
}

func verdicts(asked Asked, policies *matcher.Policy) []byte {
	line := make([]byte, 0, len(asked.Questions)+1)
	for _, question := range asked.Questions {
		verdict := byte('0')
		if policies.IsTrafficAllowed(traffic(asked.Peers, question)).IsAllowed() {
			verdict = '1'
		}
		line = append(line, verdict)
	}
	return append(line, '\n')
}

func traffic(peers []*matcher.TrafficPeer, question Question) *matcher.Traffic {
	return &matcher.Traffic{
		Source:           peers[question.Source],
		Destination:      peers[question.Destination],
		ResolvedPort:     question.Port,
		ResolvedPortName: question.PortName,
		Protocol:         question.Protocol,
	}
}
