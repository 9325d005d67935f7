package send_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"holdfast.dev/holdfast/internal/model/redact"
	"holdfast.dev/holdfast/internal/record/alert/send"
)

// natsPeer speaks as much of the NATS protocol as a publisher needs
// (https://docs.nats.io/reference/reference-protocols/nats-protocol), and returns what it was told.
func natsPeer(t *testing.T, refusal string) (address string, told func() string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	heard := make(chan string, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprint(connection, `INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1048576,"auth_required":true}`+"\r\n")
		var all strings.Builder
		lines := bufio.NewReader(connection)
		for {
			line, err := lines.ReadString('\n')
			all.WriteString(line)
			switch {
			case err != nil:
				heard <- all.String()
				return
			case strings.HasPrefix(line, "PING"):
				fmt.Fprint(connection, "PONG\r\n")
			case strings.HasPrefix(line, "PUB "):
				var size int
				_, _ = fmt.Sscanf(line[strings.LastIndex(line, " ")+1:], "%d", &size)
				payload := make([]byte, size+2)
				_, _ = io.ReadFull(lines, payload)
				all.Write(payload)
				if refusal != "" {
					fmt.Fprint(connection, "-ERR '"+refusal+"'\r\n")
				}
			}
		}
	}()
	return "nats://" + listener.Addr().String(), func() string { return <-heard }
}

func TestNATS(t *testing.T) {
	client := send.NewClient(send.Options{Loopback: true})
	address, told := natsPeer(t, "")
	target := send.Target{Type: "nats", Address: redact.Text(address), Channel: "flux.events", Username: "user", Password: "canary-password"}
	if _, err := client.Send(t.Context(), target, failed()); err != nil {
		t.Fatal(err)
	}
	heard := told()
	for _, want := range []string{`"user":"user"`, `"pass":"canary-password"`, "PUB flux.events ", `"reason":"BuildFailed"`} {
		if !strings.Contains(heard, want) {
			t.Errorf("the server did not hear %s but\n%s", want, heard)
		}
	}
	address, _ = natsPeer(t, "Permissions Violation for Publish to \"flux.events\"")
	target.Address = redact.Text(address)
	if _, err := client.Send(t.Context(), target, failed()); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("an account that may not publish: %v", err)
	}
}
