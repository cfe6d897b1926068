"""Do the tests notice? Deliberate mistakes, one by one, in a copy of the source."""
