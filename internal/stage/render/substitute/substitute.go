package substitute

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/fluxcd/pkg/envsubst/parse"
)

// Variables are checked values, ready to be put into text. The zero value has no values. It is
// immutable and safe for concurrent use.
type Variables struct {
	values  map[string]string
	lenient bool
}

var validName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// New checks names and takes the newlines out of values. A lenient set stands for the empty string
// wherever a variable is not in it.
func New(values map[string]string, lenient bool) (Variables, error) {
	clean := make(map[string]string, len(values))
	var invalid []string
	for name, value := range values {
		if !validName.MatchString(name) {
			invalid = append(invalid, fmt.Sprintf("%q", name))
		}
		clean[name] = strings.ReplaceAll(value, "\n", "")
	}
	if len(invalid) > 0 {
		slices.Sort(invalid)
		return Variables{}, fmt.Errorf("variable name %s is invalid: it must match %s", strings.Join(invalid, ", "), validName)
	}
	return Variables{values: clean, lenient: lenient}, nil
}

// Limits of what a text may become: it comes from a repository, and the values from a tenant.
const (
	maxText        = 16 << 20 // bytes of the result
	maxExpressions = 20_000   // expressions in one text
	maxTrimmed     = 16 << 10 // bytes of a value that is trimmed by a pattern, which is quadratic
)

// Concerns tells whether substitution could change a text. Where it says no, the text is the result.
func Concerns(text []byte) bool {
	for i, char := range text[:max(len(text)-1, 0)] {
		if char == '$' && (text[i+1] == '{' || text[i+1] == '$') {
			return true
		}
	}
	return false
}

var errEvaluation = errors.New("variable expression cannot be evaluated")

// ErrUnset is in the chain of the error of a variable that has neither a value nor a default.
var ErrUnset = errors.New("variable is not set")

// In replaces the variables in text.
func (v Variables) In(text string) (result string, err error) {
	defer func() {
		if recover() != nil { // for example an offset that overflows
			result, err = "", errEvaluation
		}
	}()
	if strings.Count(text, "${") > maxExpressions || strings.Count(text, "$$") > maxExpressions {
		return "", fmt.Errorf("more than %d variable expressions in one object", maxExpressions)
	}
	parsed, err := parse.Parse(text)
	if err != nil {
		return "", fmt.Errorf("reading variable expression: %w", err)
	}
	if err := v.bound(parsed.Root); err != nil {
		return "", err
	}
	unset := ""
	result, err = envsubst.Eval(text, func(name string) (string, bool) {
		value, found := v.values[name]
		if !found && !v.lenient {
			unset = name
		}
		return value, found || v.lenient
	})
	if err != nil && unset != "" {
		return "", fmt.Errorf("%w and has no default: %s", ErrUnset, unset)
	}
	if err != nil {
		return "", errEvaluation
	}
	return result, nil
}

// bound checks that a text stays within the limits whatever its expressions do.
func (v Variables) bound(node parse.Node) error {
	_, err := v.size(node)
	return err
}

// size returns an upper bound of the bytes that a node becomes.
func (v Variables) size(node parse.Node) (int, error) {
	switch node := node.(type) {
	case *parse.TextNode:
		return len(node.Value), nil
	case *parse.ListNode:
		return v.sum(node.Nodes)
	case *parse.FuncNode:
		return v.sizeOfFunc(node)
	}
	return 0, nil
}

func (v Variables) sum(nodes []parse.Node) (int, error) {
	total := 0
	for _, node := range nodes {
		size, err := v.size(node)
		if err != nil {
			return 0, err
		}
		if total += size; total > maxText {
			return 0, fmt.Errorf("substitution makes the object larger than %d bytes", maxText)
		}
	}
	return total, nil
}

func (v Variables) sizeOfFunc(node *parse.FuncNode) (int, error) {
	value := len(v.values[node.Param])
	args, err := v.sum(node.Args)
	if err != nil {
		return 0, err
	}
	size := 3*value + args + 20 // a change of case can make a letter longer; the length is a number
	switch node.Name {
	case "//":
		size = (value + 1) * (args + 1)
	case "#", "##", "%", "%%":
		if value > maxTrimmed && len(node.Args) > 0 {
			return 0, fmt.Errorf("value of variable %s is too long to be trimmed by a pattern (limit %d bytes)", node.Param, maxTrimmed)
		}
	}
	if size > maxText {
		return 0, fmt.Errorf("variable %s makes the object larger than %d bytes", node.Param, maxText)
	}
	return size, nil
}
