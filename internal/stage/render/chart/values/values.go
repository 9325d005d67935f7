package values

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	helmcommon "helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/strvals"

	"holdfast.dev/holdfast/internal/model/redact"
)

// DefaultKey is the key of a reference that names none.
const DefaultKey = "values.yaml"

// What may be read of one reference.
const (
	maxBytes   = 3 << 20 // more than fits into an object of a cluster
	telling    = 4       // digits from which a number is worth hiding
	maxIndexes = 65_536  // all list indexes of one target path and its value together
)

// Reference is one entry of valuesFrom, with what was read of it.
type Reference struct {
	Kind, Namespace, Name, Key string // ConfigMap or Secret
	TargetPath                 string
	Optional                   bool
	// Literal takes the value at TargetPath as it is, without looking for commas, brackets and types in it.
	Literal bool
	// Data is what was found. Missing says why nothing was, "resource not found" or "key not found".
	Data    []byte
	Missing string
}

// ErrMissing is in the error of a reference that must be there and is not.
var ErrMissing = errors.New("values reference is missing")

// Merged is what a release's values are.
type Merged struct {
	Values map[string]any
	// Secret are the values that came from Secrets.
	Secret []redact.Text
	// Absent are the optional references that were not there, described for people.
	Absent []string
}

// Merge puts references and a release's own values together. It changes none of them.
func Merge(references []Reference, own map[string]any) (Merged, error) {
	var merged Merged
	result := map[string]any{}
	var single []Reference
	for _, one := range references {
		if one.Missing != "" {
			if !one.Optional {
				return merged, fmt.Errorf("%s: %w: %s", one.describe(), ErrMissing, one.Missing)
			}
			merged.Absent = append(merged.Absent, one.describe()+": "+one.Missing)
			continue
		}
		if len(one.Data) > maxBytes {
			return merged, fmt.Errorf("%s: it has more than %d bytes", one.describe(), maxBytes)
		}
		if one.TargetPath != "" {
			single = append(single, one)
			continue
		}
		read, err := helmcommon.ReadValues(one.Data)
		if err != nil {
			return merged, fmt.Errorf("%s: %w", one.describe(), one.hidden(err))
		}
		if one.Kind == "Secret" {
			merged.Secret = leaves(merged.Secret, map[string]any(read))
		}
		result = over(result, read)
	}
	result, _ = copied(over(result, own)).(map[string]any)
	for _, one := range single {
		if err := put(result, one); err != nil {
			return merged, fmt.Errorf("%s: setting %s: %w", one.describe(), one.TargetPath, one.hidden(err))
		}
		if one.Kind == "Secret" {
			merged.Secret = append(merged.Secret, redact.Text(unquoted(string(one.Data))))
		}
	}
	merged.Values = result
	return merged, nil
}

// describe names a reference as Flux's messages do.
func (r Reference) describe() string {
	optional := ""
	if r.Optional {
		optional = " optional"
	}
	key := r.Key
	if key == "" {
		key = DefaultKey
	}
	return fmt.Sprintf("could not resolve%s %s chart values reference '%s/%s' with key '%s'", optional, r.Kind, r.Namespace, r.Name, key)
}

var lineNumber = regexp.MustCompile(`line \d+`)

// hidden keeps the content of a Secret out of what a parser says of it.
func (r Reference) hidden(err error) error {
	if r.Kind != "Secret" || errors.Is(err, errIndexes) {
		return err
	}
	if line := lineNumber.FindString(err.Error()); line != "" {
		return errors.New("its content cannot be used (" + line + ")")
	}
	return errors.New("its content cannot be used")
}

// over lays one map over another: maps are merged, everything else is replaced.
func over(under, upper map[string]any) map[string]any {
	result := make(map[string]any, len(under)+len(upper))
	for key, value := range under {
		result[key] = value
	}
	for key, value := range upper {
		table, isTable := value.(map[string]any)
		below, isBelow := result[key].(map[string]any)
		if isTable && isBelow {
			value = over(below, table)
		}
		result[key] = value
	}
	return result
}

func copied(value any) any {
	switch v := value.(type) {
	case map[string]any:
		result := make(map[string]any, len(v))
		for key, below := range v {
			result[key] = copied(below)
		}
		return result
	case helmcommon.Values:
		return copied(map[string]any(v))
	case []any:
		result := make([]any, len(v))
		for i, below := range v {
			result[i] = copied(below)
		}
		return result
	default:
		return value
	}
}

// put sets one value at its target path.
func put(values map[string]any, one Reference) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = errors.New("the path does not fit the values that are there")
		}
	}()
	if one.Literal {
		if err := boundIndexes(one.TargetPath); err != nil {
			return err
		}
		return strvals.ParseLiteralInto(one.TargetPath+"="+string(one.Data), values)
	}
	value := string(one.Data)
	plain := unquoted(value)
	line := one.TargetPath + "=" + plain
	if err := boundIndexes(line); err != nil {
		return err
	}
	if plain != value {
		return strvals.ParseIntoString(line, values)
	}
	return strvals.ParseInto(line, values)
}

// unquoted takes the quotes off a value that must stay text.
func unquoted(value string) string {
	for _, quote := range []string{"'", `"`} {
		if len(value) > 1 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return strings.Trim(value, `'"`)
		}
	}
	return value
}

var errIndexes = fmt.Errorf("list indexes are too large: together they may be %d", maxIndexes)

var index = regexp.MustCompile(`\[\s*(\d+)`)

// boundIndexes refuses what would make lists of enormous length (CVE-2022-36055): the lists of one line are
// counted together.
func boundIndexes(line string) error {
	total := 0
	for _, found := range index.FindAllStringSubmatch(line, -1) {
		number, err := strconv.Atoi(found[1])
		if err != nil || number > maxIndexes || total+number > maxIndexes {
			return errIndexes
		}
		total += number + 1
	}
	return nil
}

// leaves collects the texts in a value.
func leaves(into []redact.Text, value any) []redact.Text {
	switch v := value.(type) {
	case map[string]any:
		for _, below := range v {
			into = leaves(into, below)
		}
	case []any:
		for _, below := range v {
			into = leaves(into, below)
		}
	case string:
		if v != "" {
			into = append(into, redact.Text(v))
		}
	case float64, int64, int:
		if text := fmt.Sprint(v); len(text) >= telling { // a small number is in every text
			into = append(into, redact.Text(text))
		}
	}
	return into
}
