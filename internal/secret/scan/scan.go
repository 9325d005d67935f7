package scan

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Rule names what was found.
type Rule string

// The rules.
const (
	PlainSecret Rule = "plain-secret" // a Secret, or what becomes one, with values that are not encrypted
	PrivateKey  Rule = "private-key"
	Token       Rule = "token"        // of a known shape
	Password    Rule = "url-password" // in an address
	Entropy     Rule = "random-value" // under a name that looks secret
	Waiver      Rule = "waiver"       // without a reason
)

// Finding is a secret in plain text. It never holds the secret.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Rule    Rule   `json:"rule"`
	Message string `json:"message"`
}

// allow begins a waiver.
const allow = "holdfast:allow-secret"

// Content looks through a file. The error says that a part of it could not be judged; the findings are
// complete but for that part. Files that are no text have no findings.
func Content(name string, content []byte) ([]Finding, error) {
	const head = 8000
	if bytes.IndexByte(content[:min(len(content), head)], 0) >= 0 {
		return nil, nil
	}
	s := &search{name: name, code: isCode(name), content: content}
	s.privateKeys()
	s.tokens()
	s.addresses()
	err := s.objects()
	s.assignments()
	return s.result(), err
}

type search struct {
	name    string
	code    bool // names stand for values, so that only what is quoted is a value
	content []byte
	found   []spot
}

// spot is a finding by its place in the content.
type spot struct {
	offset  int
	rule    Rule
	message string
}

func (s *search) add(offset int, rule Rule, message string) {
	s.found = append(s.found, spot{offset: offset, rule: rule, message: message})
}

// result turns places into lines, drops what is waived, and keeps one finding for each line.
func (s *search) result() []Finding {
	slices.SortStableFunc(s.found, func(a, b spot) int { return cmp.Compare(a.offset, b.offset) })
	var findings []Finding
	line, seen := 1, 0
	for _, one := range s.found {
		line += bytes.Count(s.content[seen:one.offset], []byte("\n"))
		seen = one.offset
		if len(findings) > 0 && findings[len(findings)-1].Line == line {
			last := &findings[len(findings)-1]
			if rank(one.rule) < rank(last.Rule) && last.Rule != Waiver {
				last.Rule, last.Message = one.rule, one.message
			}
			continue
		}
		waived, reasoned := s.waived(one.offset)
		switch {
		case waived && reasoned:
			continue
		case waived:
			one.rule, one.message = Waiver, "the waiver "+allow+" gives no reason; write one after it"
		}
		findings = append(findings, Finding{File: s.name, Line: line, Rule: one.rule, Message: one.message})
	}
	return findings
}

// rank orders the rules by how much they know of what they have found.
func rank(rule Rule) int {
	return slices.Index([]Rule{PrivateKey, Token, PlainSecret, Password, Entropy}, rule)
}

// waived tells whether the line of a place, or the one above it, carries a waiver.
func (s *search) waived(offset int) (waived, reasoned bool) {
	start := bytes.LastIndexByte(s.content[:offset], '\n') + 1
	end := len(s.content)
	if i := bytes.IndexByte(s.content[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	above := s.content[:max(start-1, 0)]
	above = above[bytes.LastIndexByte(above, '\n')+1:]
	for _, line := range [][]byte{s.content[start:end], above} {
		if _, after, found := bytes.Cut(line, []byte(allow)); found {
			reason := strings.TrimSpace(strings.TrimRight(strings.TrimSpace(string(after)), "*/->"))
			return true, len(strings.TrimLeft(reason, ":- ")) >= 3
		}
	}
	return false, false
}
