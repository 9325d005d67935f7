package condition

import (
	"encoding/json"
	"fmt"
	"strings"

	"holdfast.dev/holdfast/internal/stage/check/policy/kyverno/variable"
)

// Condition compares a key with a value.
type Condition struct {
	Key      any    `json:"key"`
	Operator string `json:"operator"`
	Value    any    `json:"value"`
	Message  string `json:"message"`
}

// Group holds when one of Any and all of All hold.
type Group struct {
	Any []Condition `json:"any"`
	All []Condition `json:"all"`
}

// Conditions are groups, all of which have to hold. Their JSON is one group, a list of groups, or a bare
// list of conditions, as Kyverno has allowed over time.
type Conditions []Group

// UnmarshalJSON implements json.Unmarshaler.
func (c *Conditions) UnmarshalJSON(raw []byte) error {
	if text := strings.TrimSpace(string(raw)); !strings.HasPrefix(text, "[") {
		var group Group
		err := json.Unmarshal(raw, &group)
		*c = Conditions{group}
		return err
	}
	var items []struct {
		Group
		Condition
	}
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	var bare []Condition
	for _, item := range items {
		if item.Any != nil || item.All != nil {
			*c = append(*c, item.Group)
			continue
		}
		bare = append(bare, item.Condition)
	}
	if len(bare) > 0 {
		*c = append(*c, Group{All: bare})
	}
	return nil
}

// Hold tells whether the conditions hold; none hold always. The text joins the messages of those that
// decided it.
func (c Conditions) Hold(scope *variable.Scope) (holds bool, text string, err error) {
	var messages []string
	for _, group := range c {
		holds, message, err := group.hold(scope)
		if err != nil || !holds {
			return false, message, err
		}
		messages = append(messages, message)
	}
	return true, join(messages, ";"), nil
}

func (g Group) hold(scope *variable.Scope) (bool, string, error) {
	var yes, no []string
	some := g.Any == nil
	for _, one := range g.Any {
		holds, err := one.holds(scope)
		if err != nil {
			return false, "", err
		}
		if holds {
			some = true
			yes = append(yes, one.Message)
			break
		}
		no = append(no, one.Message)
	}
	every := true
	for _, one := range g.All {
		holds, err := one.holds(scope)
		if err != nil {
			return false, "", err
		}
		if !holds {
			every = false
			no = append(no, one.Message)
			break
		}
		yes = append(yes, one.Message)
	}
	if some && every {
		return true, join(yes, "; "), nil
	}
	return false, join(no, "; "), nil
}

func (c Condition) holds(scope *variable.Scope) (bool, error) {
	key, err := scope.Substitute(c.Key)
	if err != nil {
		return false, fmt.Errorf("looking up the key of a condition: %w", err)
	}
	value, err := scope.Substitute(c.Value)
	if err != nil {
		return false, fmt.Errorf("looking up the value of a condition: %w", err)
	}
	return Compare(c.Operator, key, value)
}

// Compare applies an operator.
func Compare(operator string, key, value any) (bool, error) {
	switch strings.ToLower(operator) {
	case "equal", "equals":
		return equal(key, value), nil
	case "notequal", "notequals":
		return notEqual(key, value), nil
	case "in":
		return in(key, value, false)
	case "notin":
		return in(key, value, true)
	case "anyin", "allin", "anynotin", "allnotin":
		return member(strings.ToLower(operator), key, value)
	case "greaterthan", "greaterthanorequals", "lessthan", "lessthanorequals":
		return numeric(strings.ToLower(operator), key, value), nil
	case "durationgreaterthan", "durationgreaterthanorequals", "durationlessthan", "durationlessthanorequals":
		return duration(strings.TrimPrefix(strings.ToLower(operator), "duration"), key, value), nil
	default:
		return false, fmt.Errorf("the operator %q is not known", operator)
	}
}

func join(messages []string, separator string) string {
	var some []string
	for _, message := range messages {
		if message != "" {
			some = append(some, message)
		}
	}
	return strings.Join(some, separator)
}
