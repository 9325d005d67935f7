package send

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast.dev/holdfast/internal/model/fault"
)

const (
	defaultTimeout = 15 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 10
	// maxQuote bounds what is quoted of an answer, in bytes.
	maxQuote = 300
	// slowly is when it is worth trying again after an answer that a person has to do something about.
	slowly = 5 * time.Minute
	// maxPatience bounds what a service may ask for with Retry-After.
	maxPatience = time.Hour
)

// Options are settings of a Client. The zero value is the strict one.
type Options struct {
	// Loopback allows services on this machine.
	Loopback bool
	// PubSub is where Google's Pub/Sub is; empty means where it is for everybody.
	PubSub string
	Now    func() time.Time // nil means time.Now
}

// Client sends messages. It is safe for concurrent use.
type Client struct {
	guard  guard
	pubsub string
	now    func() time.Time
}

// NewClient makes a Client.
func NewClient(options Options) *Client {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Client{guard: guard{loopback: options.Loopback}, pubsub: cmp.Or(options.PubSub, pubsubAddress), now: options.Now}
}

// Answer is what a service said to the last request.
type Answer struct {
	// Status is the line of the HTTP answer, or what stands for it.
	Status string
	// Quote is the beginning of the answer's body, scrubbed. It is for the person who asked, not for logs.
	Quote string
	// Skipped says why nothing was sent.
	Skipped string
}

// Send sends a message. The error's kind says whether another attempt could help: a stalled one does
// not, and a transient one may say when. It contains no secret.
func (c *Client) Send(ctx context.Context, target Target, message Message) (Answer, error) {
	timeout := target.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := c.send(ctx, target, message)
	answer.Status = target.Scrub(answer.Status)
	if err != nil {
		err = target.scrubbed(err)
	}
	return answer, err
}

func (c *Client) send(ctx context.Context, target Target, message Message) (Answer, error) {
	if way, known := c.way(target); known {
		return way(ctx, target, message)
	}
	build, known := builders(target.Type)
	if !known {
		return Answer{}, fault.Stall("", Unserved(target.Type))
	}
	requests, err := build(target, message)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	answer := Answer{Skipped: "a " + target.Type + " provider has nothing to say about an event with this reason"}
	client := c.http(target)
	for _, request := range requests {
		if answer, err = c.do(ctx, client, target, request); err != nil {
			return answer, err
		}
	}
	return answer, nil
}

// http makes the HTTP client for a target. Connections are not kept: messages are rare.
func (c *Client) http(target Target) *http.Client {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, Control: c.guard.control}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		DisableKeepAlives:     true,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       target.TLS,
		Proxy:                 http.ProxyFromEnvironment,
	}
	if address := target.Proxy.Reveal(); address != "" {
		transport.Proxy = func(*http.Request) (*url.URL, error) { return parse(address) }
	}
	return &http.Client{Transport: transport, CheckRedirect: sameHost}
}

// sameHost lets a redirect pass that stays where the message was sent to, and repeats it as it was.
// Anything else would carry tokens and messages to a place that nobody named, or lose them.
func sameHost(request *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || request.URL.Host != first.URL.Host || request.URL.Scheme != first.URL.Scheme || request.Method != first.Method {
		return http.ErrUseLastResponse
	}
	return nil
}

func (c *Client) do(ctx context.Context, client *http.Client, target Target, r request) (Answer, error) {
	address, err := parse(r.url)
	if err != nil {
		return Answer{}, fault.Stall("", err)
	}
	if !c.guard.permits(address.Hostname()) {
		return Answer{}, fault.Stall("", errForbidden)
	}
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	sent, err := http.NewRequestWithContext(ctx, method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return Answer{}, fault.Stall("", errAddress)
	}
	sent.Header.Set("User-Agent", "holdfast")
	for name, value := range r.header {
		sent.Header.Set(name, value)
	}
	answer, err := client.Do(sent)
	if err != nil {
		return Answer{}, failure(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, cmp.Or(r.most, maxAnswer)))
	said := Answer{Status: answer.Status, Quote: quote([]byte(r.scrub(target.Scrub(string(body)))))}
	if r.check != nil {
		if verdict, decided := r.check(answer.StatusCode, body); decided {
			return said, verdict
		}
	}
	return said, c.judge(answer)
}

// judge turns a status into an error and its kind.
func (c *Client) judge(answer *http.Response) error {
	code := answer.StatusCode
	err := fmt.Errorf("the service answered %s", answer.Status)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fault.Stall("", fmt.Errorf("the service answered %s: redirects are followed on the same host only", answer.Status))
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound:
		return &fault.Error{After: slowly, Err: err} // a person may mend the Secret
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return &fault.Error{After: c.patience(answer.Header.Get("Retry-After")), Err: err}
	default:
		return fault.Stall("", err)
	}
}

// patience reads a Retry-After header: seconds, or a moment.
func (c *Client) patience(value string) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 && seconds < 1e9 {
		wait = time.Duration(seconds * float64(time.Second))
	} else if moment, err := http.ParseTime(value); err == nil {
		wait = moment.Sub(c.now())
	}
	return min(max(wait, 0), maxPatience)
}

var errAddress = errors.New("the address is not a URL that messages can be sent to")

// parse reads an address without quoting it in the error: what cannot be parsed cannot be scrubbed.
func parse(address string) (*url.URL, error) {
	parsed, err := url.Parse(strings.TrimSpace(address))
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" {
		return nil, errAddress
	}
	return parsed, nil
}

// failure takes the address out of an error of net/http.
func failure(err error) error {
	if errors.Is(err, errForbidden) {
		return fault.Stall("", errForbidden)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the service did not answer in time")
	}
	return fmt.Errorf("reaching the service: %w", err)
}

// scrubbed hides the secrets in an error's text and keeps its kind.
func (t Target) scrubbed(err error) error {
	return &fault.Error{Kind: fault.KindOf(err), After: fault.AfterOf(err), Err: errors.New(t.Scrub(err.Error()))}
}

func quote(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "")), " ")
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "…"
	}
	return text
}
