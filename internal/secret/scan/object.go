package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// objects finds Secrets, and what kustomize makes Secrets of, with values in plain text.
func (s *search) objects() error {
	if !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(s.name)) || !mentionsSecret(s.content) {
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(s.content))
	for {
		var document yaml.Node
		err := decode(decoder, &document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if bytes.Contains(s.content, []byte("{{")) {
				return nil // a template, whose values come from elsewhere
			}
			return fmt.Errorf("reading %s, which mentions Secrets, as YAML: it is malformed", s.name)
		}
		const deepest = 8 // Secrets are in lists, and lists in nothing
		s.walk(&document, deepest)
	}
}

func decode(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it is malformed")
		}
	}()
	return decoder.Decode(into)
}

// mentionsSecret is a quick look that spares most files the parser.
func mentionsSecret(content []byte) bool {
	if bytes.Contains(content, []byte("secretGenerator")) {
		return true
	}
	for at := range each(content, []byte("Secret")) {
		before := bytes.TrimRight(content[:at], "\"' \t")
		if bytes.HasSuffix(before, []byte(":")) && bytes.HasSuffix(bytes.TrimRight(before, ":\"' \t"), []byte("kind")) {
			return true
		}
	}
	return false
}

func (s *search) walk(node *yaml.Node, depth int) {
	if depth == 0 {
		return
	}
	if node.Kind == yaml.MappingNode {
		if kind := field(node, "kind"); kind != nil && kind.Value == "Secret" {
			s.secret(node)
			return
		}
		if generators := field(node, "secretGenerator"); generators != nil {
			s.generators(generators)
		}
	}
	if node.Kind == yaml.MappingNode && field(node, "items") == nil {
		return
	}
	for _, child := range node.Content {
		s.walk(child, depth-1)
	}
}

func (s *search) secret(object *yaml.Node) {
	name := "it"
	if metadata := field(object, "metadata"); metadata != nil {
		if named := field(metadata, "name"); named != nil {
			name = named.Value
		}
	}
	encrypted := field(object, "sops") != nil
	for _, key := range []string{"data", "stringData"} {
		values := field(object, key)
		if values == nil || values.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(values.Content); i += 2 {
			if isHarmless(values.Content[i+1]) {
				continue
			}
			message := fmt.Sprintf("the Secret %s has %s.%s in plain text", name, key, values.Content[i].Value)
			if encrypted {
				message += ", though the file is encrypted"
			}
			s.add(s.offset(values.Content[i].Line), PlainSecret, message)
		}
	}
}

// isHarmless tells whether a value of a Secret gives nothing away.
func isHarmless(value *yaml.Node) bool {
	text := strings.TrimSpace(value.Value)
	if value.Kind == yaml.AliasNode {
		return false
	}
	whole := strings.HasPrefix(text, "${") && strings.HasSuffix(text, "}") && strings.Count(text, "${") == 1
	return text == "" || value.Tag == "!!null" || whole || strings.HasPrefix(text, "ENC[") || strings.HasPrefix(text, "{{")
}

// generators looks at the literals of kustomize's secretGenerator.
func (s *search) generators(list *yaml.Node) {
	for _, generator := range list.Content {
		literals := field(generator, "literals")
		if literals == nil {
			continue
		}
		for _, literal := range literals.Content {
			key, value, found := strings.Cut(literal.Value, "=")
			if found && !isHarmless(&yaml.Node{Kind: yaml.ScalarNode, Value: value}) {
				s.add(s.offset(literal.Line), PlainSecret, fmt.Sprintf("a secretGenerator has the literal %s in plain text", key))
			}
		}
	}
}

func field(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// offset returns where a line begins.
func (s *search) offset(line int) int {
	at := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte(s.content[at:], '\n')
		if next < 0 {
			return at
		}
		at += next + 1
	}
	return at
}
