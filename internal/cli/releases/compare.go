package releases

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast.dev/holdfast/internal/cli/table"
	"holdfast.dev/holdfast/internal/model/difference"
	"holdfast.dev/holdfast/internal/model/object"
	"holdfast.dev/holdfast/internal/model/redact"
)

// Comparison is how a set of objects differs from another.
type Comparison struct {
	Added   []string  `json:"added,omitempty"`
	Removed []string  `json:"removed,omitempty"`
	Changed []Changed `json:"changed,omitempty"`
}

// Changed is an object that is in both sets and not the same.
type Changed struct {
	Object string  `json:"object"`
	Fields []Field `json:"fields"`
}

// Field is one difference. A side that does not have the field is empty.
type Field struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Compare compares two sets of objects.
func Compare(before, after []object.Object) (Comparison, error) {
	var found Comparison
	former := make(map[object.Ref]object.Object, len(before))
	for _, one := range before {
		former[one.Key()] = one
	}
	for _, one := range after {
		old, there := former[one.Key()]
		delete(former, one.Key())
		switch {
		case !there:
			found.Added = append(found.Added, one.Ref.String())
		case old.Digest != one.Digest:
			fields, err := fieldsOf(old, one)
			if err != nil {
				return Comparison{}, err
			}
			found.Changed = append(found.Changed, Changed{Object: one.Ref.String(), Fields: fields})
		}
	}
	for _, gone := range former {
		found.Removed = append(found.Removed, gone.Ref.String())
	}
	slices.Sort(found.Removed)
	return found, nil
}

func fieldsOf(before, after object.Object) ([]Field, error) {
	old, err := before.Decode()
	if err != nil {
		return nil, err
	}
	latest, err := after.Decode()
	if err != nil {
		return nil, err
	}
	secret := after.Kind == "Secret" && after.Group == ""
	var fields []Field
	for _, one := range difference.Between(old.Object, latest.Object) {
		field := Field{Path: one.Path, Before: text(one.Before), After: text(one.After)}
		if secret && holdsValues(one.Path) {
			field.Before, field.After = masked(one.Before), masked(one.After)
		}
		fields = append(fields, field)
	}
	return fields, nil
}

// holdsValues tells whether a field of a Secret may hold what nobody is to see. Annotations may: tools
// keep whole former objects in them.
func holdsValues(path string) bool {
	for _, part := range []string{".data", ".stringData", ".metadata.annotations"} {
		if path == part || strings.HasPrefix(path, part+".") || path == ".metadata" || path == "" {
			return true
		}
	}
	return false
}

func masked(value any) string {
	if value == nil {
		return ""
	}
	return redact.Placeholder
}

// text writes a value on one line.
func text(value any) string {
	if value == nil {
		return ""
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}

// Empty tells whether there is no difference.
func (c Comparison) Empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// Write writes the comparison for people.
func (c Comparison) Write(out io.Writer, colour bool) error {
	var lines []string
	for _, name := range c.Removed {
		lines = append(lines, table.Paint("- "+name, table.Bad, colour))
	}
	for _, name := range c.Added {
		lines = append(lines, table.Paint("+ "+name, table.Good, colour))
	}
	for _, changed := range c.Changed {
		lines = append(lines, "~ "+changed.Object)
		for _, field := range changed.Fields {
			lines = append(lines, "    "+field.line())
		}
	}
	lines = append(lines, c.summary())
	_, err := io.WriteString(out, strings.Join(lines, "\n")+"\n")
	return err
}

func (f Field) line() string {
	path := strings.TrimPrefix(f.Path, ".")
	switch {
	case f.Before == "":
		return fmt.Sprintf("%s: + %s", path, table.OneLine(f.After))
	case f.After == "":
		return fmt.Sprintf("%s: - %s", path, table.OneLine(f.Before))
	case f.Before == redact.Placeholder && f.After == redact.Placeholder:
		return path + ": another secret value"
	default:
		return fmt.Sprintf("%s: %s → %s", path, table.OneLine(f.Before), table.OneLine(f.After))
	}
}

func (c Comparison) summary() string {
	if c.Empty() {
		return "no difference"
	}
	return fmt.Sprintf("%d added, %d changed, %d removed", len(c.Added), len(c.Changed), len(c.Removed))
}
