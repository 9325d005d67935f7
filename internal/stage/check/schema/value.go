package schema

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
)

// formatQuantity is of our own making: Kubernetes' amounts of something.
const formatQuantity = "quantity"

// text judges a string.
func (v *verdict) text(value string, n *node) {
	if length := int64(utf8.RuneCountInString(value)); n.minLength != nil && length < *n.minLength || n.maxLength != nil && length > *n.maxLength {
		v.say(RuleValue, "", fmt.Sprintf("has %d characters; %s", length, bounds(n.minLength, n.maxLength)), "")
	}
	if n.pattern != nil && !n.pattern.MatchString(value) {
		v.say(RuleValue, "", "does not match "+n.pattern.String(), "")
	}
	if !formatted(n.format, value) {
		v.say(RuleValue, "", "is no "+formatName(n.format), formatAdvice(n.format))
	}
}

func formatName(format string) string {
	switch format {
	case "byte":
		return "base64"
	case "date-time":
		return "time as RFC 3339 writes it"
	default:
		return format
	}
}

func formatAdvice(format string) string {
	switch format {
	case formatQuantity:
		return "write a number with a unit, as 100m or 128Mi"
	case "byte":
		return "encode it, or use stringData in a Secret"
	default:
		return ""
	}
}

// formats are those that an API server looks at; it knows no others, and so do we.
var formats = map[string]bool{
	"bsonobjectid": true, "uri": true, "email": true, "hostname": true, "ipv4": true, "ipv6": true, "cidr": true, "mac": true,
	"uuid": true, "uuid3": true, "uuid4": true, "uuid5": true, "isbn": true, "isbn10": true, "isbn13": true, "creditcard": true,
	"ssn": true, "hexcolor": true, "rgbcolor": true, "byte": true, "password": true, "date": true, "duration": true, "datetime": true,
	"k8sshortname": true, "k8slongname": true,
}

func formatted(format, value string) bool {
	switch format {
	case "":
		return true
	case formatQuantity:
		_, err := resource.ParseQuantity(value)
		return err == nil
	case "byte":
		_, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(value))
		return err == nil
	}
	plain := strings.ReplaceAll(format, "-", "")
	if !formats[plain] || !strfmt.Default.ContainsName(plain) {
		return true
	}
	return strfmt.Default.Validates(plain, value)
}

// number judges an integer or a number.
func (v *verdict) number(value any, n *node) {
	var number float64
	switch value := value.(type) {
	case int64:
		number = float64(value)
	case float64:
		number = value
	}
	switch {
	case n.min != nil && (number < *n.min || n.minOpen && number == *n.min):
		v.say(RuleValue, "", fmt.Sprintf("is too small: it must be %s %v", more(n.minOpen), *n.min), "")
	case n.max != nil && (number > *n.max || n.maxOpen && number == *n.max):
		v.say(RuleValue, "", fmt.Sprintf("is too large: it must be %s %v", less(n.maxOpen), *n.max), "")
	case n.format == "int32" && (number > math.MaxInt32 || number < math.MinInt32):
		v.say(RuleValue, "", "is too large for its field", "")
	case n.multiple != nil && *n.multiple != 0 && math.Mod(number, *n.multiple) != 0:
		v.say(RuleValue, "", fmt.Sprintf("must be a multiple of %v", *n.multiple), "")
	}
}

func more(open bool) string {
	if open {
		return "more than"
	}
	return "at least"
}

func less(open bool) string {
	if open {
		return "less than"
	}
	return "at most"
}

// values judges what concerns values of all types.
func (v *verdict) values(value any, n *node) {
	if unset := n.builtin && value == ""; len(n.enum) > 0 && !unset && !oneOf(n.enum, value) {
		v.say(RuleValue, "", "must be one of "+listed(n.enum), "")
	}
	for _, below := range n.all {
		v.look(value, below)
	}
	if len(n.any) > 0 && v.count(value, n.any) == 0 {
		v.say(RuleValue, "", "fits none of the forms that the kind allows", "")
	}
	if len(n.one) > 0 {
		if fits := v.count(value, n.one); fits != 1 {
			v.say(RuleValue, "", fmt.Sprintf("fits %d of the forms that the kind allows, and must fit one", fits), "")
		}
	}
	if n.not != nil && v.fits(value, n.not) {
		v.say(RuleValue, "", "has a form that the kind does not allow", "")
	}
}

func (v *verdict) count(value any, nodes []*node) int {
	fits := 0
	for _, n := range nodes {
		if v.fits(value, n) {
			fits++
		}
	}
	return fits
}

// fits tells whether a value alone passes a schema.
func (v *verdict) fits(value any, n *node) bool {
	alone := &verdict{meta: v.meta, standins: v.standins, path: []step{{"", -1}}}
	alone.look(value, n)
	for _, one := range alone.found {
		if one.Rule != RuleUnknownField { // which fields there are is said elsewhere
			return false
		}
	}
	return true
}

func oneOf(allowed []any, value any) bool {
	text := written(value)
	for _, one := range allowed {
		if written(one) == text {
			return true
		}
	}
	return false
}

func listed(values []any) string {
	const most = 20
	var words []string
	for i, one := range values {
		if i == most {
			words = append(words, "…")
			break
		}
		word := fmt.Sprint(one)
		if word == "" {
			word = `""`
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// written writes a value for comparison.
func written(value any) string {
	switch value := value.(type) {
	case string:
		return "s" + value
	case int64:
		return fmt.Sprint(float64(value))
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}
