// Package bench measures what a delivery costs, on this machine, against a real API server: time,
// API requests, processor time and memory of the controller, which runs as a process of its own.
//
// Run it with `make bench`, or one scenario with
//
//	go test ./test/bench -run '^$' -bench 'Delivery/1x1000' -benchtime 1x -timeout 30m
//
// The figures and what they are compared with are in docs/performance.md.
package bench
