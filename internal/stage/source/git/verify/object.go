package verify

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// signed is an object taken apart: what the signature covers, and the signature.
type signed struct {
	payload   []byte
	signature []byte // armored; empty where there is none
	headers   []header
}

// header is one header of an object, with the lines that continue it.
type header struct {
	name, value string
	lines       []byte // all of it, as stored
	continued   bool
}

// check compares an object with its hash: it is the hash that a reference names.
func check(kind plumbing.ObjectType, hash string, content []byte) error {
	if plumbing.ComputeHash(kind, content).String() != hash {
		return fmt.Errorf("the %s's content does not have its hash", kind)
	}
	return nil
}

// split takes the headers of an object from its message.
func split(content []byte) (headers []header, message []byte, err error) {
	rest := content
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			return nil, nil, errors.New("it has no end of its headers")
		}
		whole := rest[:len(line)+1]
		rest = after
		switch {
		case len(line) == 0:
			return headers, rest, nil
		case bytes.ContainsAny(line, "\r\x00"):
			return nil, nil, errors.New("a header holds a byte that readers treat differently")
		case line[0] == ' ':
			if len(headers) == 0 {
				return nil, nil, errors.New("it begins with the continuation of nothing")
			}
			last := &headers[len(headers)-1]
			last.value += "\n" + string(line[1:])
			last.lines = append(last.lines[:len(last.lines):len(last.lines)], whole...)
			last.continued = true
		default:
			name, value, found := strings.Cut(string(line), " ")
			if !found || name == "" {
				return nil, nil, errors.New("it has a malformed header")
			}
			headers = append(headers, header{name: name, value: value, lines: whole})
		}
	}
}

// expect checks that an object begins with these headers in this order, each once and on one line, and
// that none of them comes again. Where a reader takes the first of two and another one takes the last, a
// signature says nothing.
func expect(headers []header, names ...string) error {
	at := 0
	for _, name := range names {
		if name == "parent" {
			for at < len(headers) && headers[at].name == "parent" && !headers[at].continued {
				at++
			}
			continue
		}
		if at >= len(headers) || headers[at].name != name || headers[at].continued {
			return fmt.Errorf("its header %s is missing, or not in its place", name)
		}
		at++
	}
	for _, other := range headers[at:] {
		if slices.Contains(names, other.name) {
			return fmt.Errorf("it has the header %s twice", other.name)
		}
	}
	return nil
}

func find(headers []header, name string) (value string, times int) {
	for _, header := range headers {
		if header.name == name {
			value = header.value
			times++
		}
	}
	return value, times
}

// commitOf takes a commit apart. Its signature is a header, and covers all but that header.
func commitOf(content []byte) (signed, error) {
	headers, message, err := split(content)
	if err != nil {
		return signed{}, err
	}
	if err := expect(headers, "tree", "parent", "author", "committer"); err != nil {
		return signed{}, err
	}
	for _, name := range []string{"gpgsig", "encoding"} {
		if _, times := find(headers, name); times > 1 {
			return signed{}, fmt.Errorf("it has the header %s twice", name)
		}
	}
	s := signed{headers: headers}
	for _, header := range headers {
		switch {
		case header.name == "gpgsig":
			s.signature = []byte(header.value)
		case strings.HasPrefix(header.name, "gpgsig"):
			return signed{}, fmt.Errorf("it has the header %s, which no signature covers", header.name)
		default:
			s.payload = append(s.payload, header.lines...)
		}
	}
	s.payload = append(append(s.payload, '\n'), message...)
	return s, nil
}

// begins are the lines that a signature begins with.
func begins() []string {
	return []string{"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SIGNED MESSAGE-----"}
}

// tagOf takes a tag apart. Its signature is the end of its message, and covers all before it.
func tagOf(content []byte) (signed, error) {
	headers, message, err := split(content)
	if err != nil {
		return signed{}, err
	}
	if err := expect(headers, "object", "type", "tag", "tagger"); err != nil {
		return signed{}, err
	}
	for _, header := range headers {
		if strings.HasPrefix(header.name, "gpgsig") {
			return signed{}, fmt.Errorf("it has the header %s, which no signature covers", header.name)
		}
	}
	s := signed{headers: headers, payload: content}
	start := len(content) - len(message)
	for at := start; at < len(content); {
		line, _, _ := bytes.Cut(content[at:], []byte("\n"))
		if slices.ContainsFunc(begins(), func(begin string) bool { return bytes.HasPrefix(line, []byte(begin)) }) {
			if s.signature != nil {
				return signed{}, errors.New("it has more than one signature")
			}
			s.payload, s.signature = content[:at], content[at:]
		}
		at += len(line) + 1
	}
	return s, nil
}

// unarmored checks that a text is one armored signature and nothing else.
func unarmored(signature []byte, kind string) error {
	text := strings.TrimRight(string(signature), "\n")
	begin, end := "-----BEGIN "+kind+"-----", "-----END "+kind+"-----"
	if !strings.HasPrefix(text, begin+"\n") || !strings.HasSuffix(text, "\n"+end) ||
		strings.Count(text, "-----BEGIN ") != 1 || strings.Count(text, "-----END ") != 1 || strings.Contains(text, "\r") {
		return errors.New("its signature is not one armored block")
	}
	return nil
}
