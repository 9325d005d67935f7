package rules

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast.dev/holdfast/internal/secret/keyring"
)

// Environment is a rule to be in the file: what lies below a folder is encrypted for one recipient.
type Environment struct {
	Folder    string // from the folder of .sops.yaml, with slashes, for example clusters/prod
	Recipient string // of age
}

// manifests is what is encrypted of Kubernetes objects: the rest of them has to stay readable, for
// people and for what builds them.
const manifests = "^(data|stringData)$"

// rulesOf returns the rules for an environment, most special first.
func (e Environment) rulesOf() []created {
	folder := "^" + regexp.QuoteMeta(strings.Trim(e.Folder, "/")) + "/"
	return []created{
		{path: folder + `.*\.(ya?ml|json)$`, probe: e.Folder + "/secret.yaml", only: manifests},
		{path: folder, probe: e.Folder + "/secret.env"},
	}
}

type created struct {
	path, probe, only string
}

// Change is what Add did to one rule.
type Change struct {
	Path string // the rule's path_regex
	New  bool   // the rule is new; else its recipient is
}

// ErrByHand says that a file is written in a way that cannot be extended without rewriting it.
var ErrByHand = errors.New("it is written in a way that has to be changed by hand")

// Add returns the content of .sops.yaml with the rules of an environment in it. Rules that are there
// already keep all that they have, and get the recipient if they lack it. An empty content begins a new
// file.
func Add(content []byte, environment Environment) ([]byte, []Change, error) {
	if _, err := keyring.ParseRecipient(environment.Recipient); err != nil {
		return nil, nil, err
	}
	var changes []Change
	for _, rule := range environment.rulesOf() {
		next, change, err := add(content, rule, environment.Recipient)
		if err != nil {
			return nil, nil, fmt.Errorf("adding the rule %s: %w", rule.path, err)
		}
		if next == nil {
			continue
		}
		content = next
		changes = append(changes, change)
	}
	return content, changes, nil
}

// add returns nil where nothing is to be done.
func add(content []byte, rule created, recipient string) ([]byte, Change, error) {
	list, err := read(content)
	if err != nil {
		return nil, Change{}, err
	}
	for _, item := range list.items() {
		if pathRegex(item) != rule.path {
			continue
		}
		if has(item, recipient) {
			return nil, Change{}, nil
		}
		next, err := list.addRecipient(item, recipient)
		if err == nil {
			err = confirm(content, next, rule, recipient)
		}
		return next, Change{Path: rule.path}, err
	}
	next, err := list.addRule(rule, recipient)
	if err == nil {
		err = confirm(content, next, rule, recipient)
	}
	return next, Change{Path: rule.path, New: true}, err
}

// confirm makes sure that the new text says what it should, and that all else says what it did.
func confirm(before, after []byte, rule created, recipient string) error {
	was, err := read(before)
	if err != nil {
		return err
	}
	is, err := read(after)
	if err != nil {
		return ErrByHand
	}
	var others []*yaml.Node
	found := false
	for _, item := range is.items() {
		if pathRegex(item) == rule.path && has(item, recipient) {
			found = true
			continue
		}
		others = append(others, item)
	}
	var kept []*yaml.Node
	for _, item := range was.items() {
		if pathRegex(item) != rule.path {
			kept = append(kept, item)
		}
	}
	if !found || len(others) != len(kept) {
		return ErrByHand
	}
	for i := range kept {
		if !sameNode(kept[i], others[i]) {
			return ErrByHand
		}
	}
	return nil
}

func sameNode(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Value != b.Value || a.Tag != b.Tag || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameNode(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// list is the creation rules in the text of a file.
type list struct {
	lines  []string
	root   *yaml.Node // the mapping at the top; nil in an empty file
	header *yaml.Node // the key creation_rules; nil where it is missing
	rules  *yaml.Node // its value
}

func read(content []byte) (*list, error) {
	l := &list{lines: strings.SplitAfter(string(content), "\n")}
	var parsed yaml.Node
	err := guarded(func() error { return yaml.Unmarshal(content, &parsed) })
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", Name, err)
	}
	if len(parsed.Content) == 0 {
		return l, nil
	}
	l.root = parsed.Content[0]
	if l.root.Kind == yaml.ScalarNode && l.root.Tag == "!!null" {
		l.root = nil
		return l, nil
	}
	if l.root.Kind != yaml.MappingNode || bytes.Contains(content, []byte("\r")) {
		return nil, ErrByHand
	}
	for i := 0; i+1 < len(l.root.Content); i += 2 {
		if l.root.Content[i].Value == "creation_rules" {
			l.header, l.rules = l.root.Content[i], l.root.Content[i+1]
		}
	}
	return l, nil
}

// guarded turns a panic of the parser into an error.
func guarded(act func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is malformed")
		}
	}()
	return act()
}

func (l *list) items() []*yaml.Node {
	if l.rules == nil || l.rules.Kind != yaml.SequenceNode {
		return nil
	}
	return l.rules.Content
}

// addRule writes a rule before the first one that would take its files, else after the last.
func (l *list) addRule(rule created, recipient string) ([]byte, error) {
	if l.header == nil {
		if l.root != nil && (l.root.Style&yaml.FlowStyle != 0 || l.root.Column != 1) {
			return nil, ErrByHand
		}
		text := strings.Join(l.lines, "")
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return []byte(text + "creation_rules:\n" + rule.text("  ", recipient)), nil
	}
	if l.header.Column != 1 {
		return nil, ErrByHand
	}
	if l.rules.Kind == yaml.ScalarNode && l.rules.Tag == "!!null" && l.rules.Value == "" {
		return l.insert(l.header.Line, rule.text("  ", recipient)), nil
	}
	if l.rules.Kind != yaml.SequenceNode || l.rules.Style&yaml.FlowStyle != 0 || len(l.rules.Content) == 0 {
		return nil, ErrByHand
	}
	indent, err := l.indent()
	if err != nil {
		return nil, err
	}
	for _, item := range l.rules.Content {
		if takes(item, rule.probe) {
			return l.insert(l.above(item.Line-1, indent), rule.text(indent, recipient)), nil
		}
	}
	return l.insert(l.end(), rule.text(indent, recipient)), nil
}

// indent returns what stands before the dashes of the rules.
func (l *list) indent() (string, error) {
	for _, item := range l.rules.Content {
		if item.Kind != yaml.MappingNode || item.Style&yaml.FlowStyle != 0 {
			return "", ErrByHand
		}
	}
	line := l.lines[l.rules.Content[0].Line-1]
	indent, _, found := strings.Cut(line, "-")
	if !found || strings.Trim(indent, " ") != "" {
		return "", ErrByHand
	}
	return indent, nil
}

// above goes up from a rule to the comments that belong to it.
func (l *list) above(line int, indent string) int {
	for line > 0 && strings.HasPrefix(l.lines[line-1], indent+"#") {
		line--
	}
	return line
}

// end returns the number of lines up to the end of the last rule.
func (l *list) end() int {
	last := lastLine(l.rules)
	for last < len(l.lines) { // the lines of a block scalar have no node of their own
		line := l.lines[last]
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || !strings.HasPrefix(line, " ") {
			break
		}
		last++
	}
	return last
}

func lastLine(node *yaml.Node) int {
	last := node.Line
	for _, child := range node.Content {
		last = max(last, lastLine(child))
	}
	return last
}

func (l *list) insert(line int, text string) []byte {
	head := strings.Join(l.lines[:line], "")
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += "\n"
	}
	return []byte(head + text + strings.Join(l.lines[line:], ""))
}

func (c created) text(indent, recipient string) string {
	text := indent + "- path_regex: " + c.path + "\n"
	if c.only != "" {
		text += indent + "  encrypted_regex: " + c.only + "\n"
	}
	return text + indent + "  age: " + recipient + "\n"
}

// takes tells whether a rule counts for a file.
func takes(item *yaml.Node, file string) bool {
	pattern := pathRegex(item)
	if pattern == "" {
		return true
	}
	compiled, err := regexp.Compile(pattern)
	return err == nil && compiled.MatchString(file)
}

func value(item *yaml.Node, key string) *yaml.Node {
	if item.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(item.Content); i += 2 {
		if item.Content[i].Value == key {
			return item.Content[i+1]
		}
	}
	return nil
}

func pathRegex(item *yaml.Node) string {
	if node := value(item, "path_regex"); node != nil && node.Kind == yaml.ScalarNode {
		return node.Value
	}
	return ""
}

// has tells whether a rule names a recipient, in a field of its own or in a group of keys.
func has(node *yaml.Node, recipient string) bool {
	if node.Kind == yaml.ScalarNode {
		for one := range strings.SplitSeq(node.Value, ",") {
			if keyring.Same(one, recipient) {
				return true
			}
		}
	}
	for _, child := range node.Content {
		if has(child, recipient) {
			return true
		}
	}
	return false
}

// addRecipient adds a recipient to a rule, in the way that the rule's others are written.
func (l *list) addRecipient(item *yaml.Node, recipient string) ([]byte, error) {
	node := value(item, "age")
	switch {
	case node == nil:
		return nil, ErrByHand
	case node.Kind == yaml.SequenceNode && node.Style&yaml.FlowStyle == 0 && len(node.Content) > 0:
		last := node.Content[len(node.Content)-1]
		indent, _, found := strings.Cut(l.lines[last.Line-1], "-")
		if !found || strings.Trim(indent, " ") != "" {
			return nil, ErrByHand
		}
		return l.insert(last.Line, indent+"- "+recipient+"\n"), nil
	case node.Kind == yaml.ScalarNode && node.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && node.Value != "":
		line := l.lines[node.Line-1]
		start := node.Column - 1
		if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			start++
		}
		if start > len(line) || !strings.HasPrefix(line[start:], node.Value) {
			return nil, ErrByHand // it goes on over several lines
		}
		end := start + len(node.Value)
		l.lines[node.Line-1] = line[:end] + "," + recipient + line[end:]
		return []byte(strings.Join(l.lines, "")), nil
	default:
		return nil, ErrByHand
	}
}
