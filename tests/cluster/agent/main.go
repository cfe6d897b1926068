// The sample application's only program: it answers with its name, and it asks others and says what came of it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const usage = `usage: agent serve NAME PORT... | agent probe ADDRESS... | agent load ADDRESS | agent sleep DURATION | agent pause`

// A new connection may take this long. The enforcer refuses at once; what is merely dropped would hang.
const patience = 2 * time.Second

func main() {
	if len(os.Args) < 2 {
		log.Fatal(usage)
	}
	arguments := os.Args[2:]
	switch command := os.Args[1]; {
	case command == "serve" && len(arguments) > 1:
		serve(arguments[0], arguments[1:])
	case command == "probe" && len(arguments) > 0:
		probe(arguments)
	case command == "load" && len(arguments) == 1:
		load(arguments[0])
	case command == "sleep" && len(arguments) == 1:
		sleep(arguments[0])
	case command == "pause":
		untilTold()
	default:
		log.Fatal(usage)
	}
}

// serve answers every HTTP request on these ports with NAME until SIGTERM, and then goes at once.
// Asked for /probes, it answers with the number of the kubelet's requests so far.
func serve(name string, ports []string) {
	var probes atomic.Int64
	answer := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.UserAgent(), "kube-probe/") {
			probes.Add(1)
		}
		writer.Header().Set("Connection", "close")
		if request.URL.Path == "/probes" {
			fmt.Fprint(writer, probes.Load())
			return
		}
		fmt.Fprint(writer, name)
	})
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(http.Serve(listener, answer)) }()
	}
	untilTold()
}

func untilTold() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	<-told
}

func sleep(text string) {
	duration, err := time.ParseDuration(text)
	if err != nil {
		log.Fatal(err)
	}
	time.Sleep(duration)
}

// probe asks all addresses (host:port, or host:port/path) at once and prints {address: outcome}; an outcome is the name that answered,
// or "refused", "timeout", "no such name", or whatever else went wrong.
func probe(addresses []string) {
	outcomes := map[string]string{}
	var lock sync.Mutex
	var group sync.WaitGroup
	for _, address := range addresses {
		group.Go(func() {
			outcome := ask(address)
			lock.Lock()
			defer lock.Unlock()
			outcomes[address] = outcome
		})
	}
	group.Wait()
	print(outcomes)
}

// load opens a connection every few milliseconds until standard input ends, and prints
// {"tried": n, "failed": n, "longest_ms": n, "answers": {name: n}, "failures": {outcome: n}}.
func load(address string) {
	var tried, longest atomic.Int64
	var lock sync.Mutex
	var group sync.WaitGroup
	answers, failures := map[string]int{}, map[string]int{}
	for range ticksUntilInputEnds(5 * time.Millisecond) {
		tried.Add(1)
		group.Go(func() {
			start := time.Now()
			name, err := get(address)
			lock.Lock()
			defer lock.Unlock()
			longest.Store(max(longest.Load(), time.Since(start).Milliseconds()))
			if err != nil {
				failures[outcomeOf(err)]++
			} else {
				answers[name]++
			}
		})
	}
	group.Wait()
	failed := 0
	for _, count := range failures {
		failed += count
	}
	print(map[string]any{
		"tried": tried.Load(), "failed": failed, "longest_ms": longest.Load(), "answers": answers, "failures": failures,
	})
}

func ticksUntilInputEnds(every time.Duration) <-chan time.Time {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, bufio.NewReader(os.Stdin))
		close(ended)
	}()
	ticks := make(chan time.Time)
	go func() {
		defer close(ticks)
		for tick := range time.Tick(every) {
			select {
			case <-ended:
				return
			case ticks <- tick:
			}
		}
	}()
	return ticks
}

func ask(address string) string {
	name, err := get(address)
	if err != nil {
		return outcomeOf(err)
	}
	return name
}

// get opens a connection of its own for each request.
func get(address string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	client := http.Client{Timeout: patience, Transport: transport}
	answer, err := client.Get("http://" + address)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(text)), err
}

func outcomeOf(err error) string {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

func print(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		log.Fatal(err)
	}
}
