package budget_test

import (
	"context"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"

	"holdfast.dev/holdfast/internal/stage/render/chart/budget"
)

func TestInstrument(t *testing.T) {
	cases := map[string]struct{ why, text, want string }{
		"Plain":    {why: "what does not repeat is left alone", text: "a {{ .b }} {{ if .c }}d{{ end }}", want: "a {{ .b }} {{ if .c }}d{{ end }}"},
		"Range":    {why: "a loop counts at its start", text: "{{ range .a }}bb{{ end }}", want: "{{ range .a }}{{holdfast_tick 2}}bb{{ end }}"},
		"Trim":     {why: "trimmed space stays trimmed", text: "{{- range .a -}}\n bb {{- end }}", want: "{{- range .a -}}{{holdfast_tick 5 -}}\n bb {{- end }}"},
		"Define":   {why: "a named template counts, too", text: `{{ define "x" }}{{ if .a }}b{{ end }}{{ end }}`, want: `{{ define "x" }}{{holdfast_tick 21}}{{ if .a }}b{{ end }}{{ end }}`},
		"Comment":  {why: "comments are no actions", text: "{{- /* {{ range }} tpl */ -}}", want: "{{- /* {{ range }} tpl */ -}}"},
		"Quoted":   {why: "nor is quoted text", text: "{{ print \"}} {{ range .a }}\" `tpl .x` }}", want: "{{ print \"}} {{ range .a }}\" `tpl .x` }}"},
		"Tpl":      {why: "what becomes a template counts as one", text: `{{ tpl .Values.a . | nindent 2 }}`, want: `{{ tpl (holdfast_guard .Values.a) . | nindent 2 }}`},
		"TplExpr":  {why: "also when it is made on the spot", text: `{{ tpl (toYaml .a) $ }}{{ (tpl (tpl .b .) .) }}`, want: `{{ tpl (holdfast_guard (toYaml .a)) $ }}{{ (tpl (holdfast_guard (tpl (holdfast_guard .b) .)) .) }}`},
		"TplWord":  {why: "other words have those letters, too", text: `{{ template "tpl" . }}{{ .tpl }}{{ $tpl }}{{ include "a.tplvalues" . }}`, want: `{{ template "tpl" . }}{{ .tpl }}{{ $tpl }}{{ include "a.tplvalues" . }}`},
		"Unclosed": {why: "what cannot be read is for the parser to refuse", text: "{{ range", want: "{{ range"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := budget.Instrument(tc.text); got != tc.want {
				t.Errorf("%s:\n got %s\nwant %s", tc.why, got, tc.want)
			}
		})
	}
}

// execute runs a template with sprig's functions and those of a meter, if there is one.
func execute(text string, meter *budget.Meter) (string, error) {
	none := func(string, any) string { return "" }
	funcs := sprig.TxtFuncMap()
	funcs["tpl"], funcs["include"] = none, none
	if meter != nil {
		for name, f := range meter.Funcs() {
			funcs[name] = f
		}
	}
	parsed, err := template.New("t").Funcs(funcs).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = parsed.Execute(&out, map[string]any{"a": []any{1, 2}, "b": map[string]any{"c": "d"}})
	return out.String(), err
}

// TestSameText makes sure that the functions that count do what those do that they stand for.
func TestSameText(t *testing.T) {
	for _, text := range []string{
		`{{ range $i, $x := .a -}} {{ $x }} {{ else }}none{{ end }}`, `{{ range until 3 }}{{ . }},{{ end }}{{ range untilStep 9 1 -3 }}{{ . }}{{ end }}`,
		`{{ seq 1 2 9 }} {{ seq 5 }} {{ seq 2 4 }}`, `{{ "a,b" | replace "," "; " | quote | squote }}`, `{{ list 1 "x" nil | join "-" }}`,
		`{{ "a\nb" | indent 2 }}{{ "a\nb" | nindent 2 }}{{ "ab" | repeat 3 }}`, `{{ regexReplaceAll "a(.)" "abac" "<$1>" }}{{ regexReplaceAllLiteral "a" "aba" "$1" }}`,
		`{{ $d := dict "x" 1 }}{{ $_ := set $d "y" (list 1 2) }}{{ $d }}{{ merge $d .b }}{{ mergeOverwrite (dict "c" "z") .b }}`,
		`{{ append .a 3 }}{{ prepend .a 0 }}{{ concat .a (list 7) }}{{ tuple 1 2 }}{{ deepCopy .b }}`, `{{ printf "%05d|%v|%q" 7 .b "x" }}{{ print 1 2 "a" }}{{ println "x" }}`,
		`{{ html "<a>" }}{{ js "'" }}{{ urlquery "a b" }}{{ cat "a" 1 }}{{ b64enc "x" }}{{ trunc 2 "abc" }}{{ wrapWith 2 "|" "a b c" }}{{ toString 3 }}`,
		`{{ toPrettyJson .b }}{{ toRawJson .b }}{{ sha256sum "x" }}{{ upper "x" }}{{ snakecase "aB" }}`,
	} {
		want, wantErr := execute(text, nil)
		got, err := execute(budget.Instrument(text), budget.New(context.Background(), budget.Limits{}))
		if got != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%s:\n got %q, %v\nwant %q, %v", text, got, err, want, wantErr)
		}
	}
}

func FuzzInstrument(f *testing.F) {
	for _, seed := range []string{"{{ range .a }}x{{ end }}", `{{- define "x" -}} {{ tpl "{{ . }}" $ }} {{- end -}}`, "{{/* */}}{{ if `}}` }}{{ end }}", "{{ (tpl .a .).b }}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "holdfast_") || strings.Contains(text, "break") || strings.Contains(text, "continue") {
			return
		}
		funcs := template.FuncMap{"tpl": func(any, any) string { return "" }, "holdfast_tick": func(int) string { return "" }, "holdfast_guard": func(v any) any { return v }}
		if _, err := template.New("t").Funcs(funcs).Parse(text); err != nil {
			return
		}
		if _, err := template.New("t").Funcs(funcs).Parse(budget.Instrument(text)); err != nil {
			t.Errorf("%q parses, but %q does not: %v", text, budget.Instrument(text), err)
		}
	})
}
