package send

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/nats-io/nats.go"

	"holdfast.dev/holdfast/internal/model/fault"
)

// publish puts the event on a NATS subject, and waits until the server has it.
func (c *Client) publish(ctx context.Context, t Target, m Message) (Answer, error) {
	if err := t.needs("address", "channel"); err != nil {
		return Answer{}, fault.Stall("", err)
	}
	body, err := json.Marshal(m.Event)
	if err != nil {
		return Answer{}, fault.Stall("", fmt.Errorf("encoding the message: %w", err))
	}
	options := []nats.Option{
		nats.Name("holdfast"), nats.NoReconnect(), nats.MaxReconnects(0), nats.IgnoreDiscoveredServers(),
		nats.SetCustomDialer(contextDialer{ctx, net.Dialer{Control: c.guard.control}}),
	}
	if t.Username != "" && t.Password.Reveal() != "" {
		options = append(options, nats.UserInfo(t.Username, t.Password.Reveal()))
	}
	if t.TLS != nil {
		options = append(options, nats.Secure(t.TLS))
	}
	connection, err := nats.Connect(strings.TrimSpace(t.Address.Reveal()), options...)
	if err != nil {
		if errors.Is(err, errForbidden) {
			return Answer{}, fault.Stall("", errForbidden)
		}
		return Answer{}, fmt.Errorf("connecting to NATS: %w", err)
	}
	defer connection.Close()
	if err := connection.Publish(t.Channel, body); err != nil {
		return Answer{}, fault.Stall("", fmt.Errorf("publishing to NATS: %w", err))
	}
	if err := connection.FlushWithContext(ctx); err != nil {
		return Answer{}, fmt.Errorf("publishing to NATS: %w", err)
	}
	if err := connection.LastError(); err != nil { // the account may not publish there
		return Answer{}, &fault.Error{After: slowly, Err: fmt.Errorf("publishing to NATS: %w", err)}
	}
	return Answer{Status: "the NATS server has it"}, nil
}

// contextDialer connects under a context. It lives as long as one call.
type contextDialer struct {
	ctx    context.Context //nolint:containedctx // nats.go's dialers take none
	dialer net.Dialer
}

// Dial implements nats.CustomDialer.
func (d contextDialer) Dial(network, address string) (net.Conn, error) {
	return d.dialer.DialContext(d.ctx, network, address)
}
