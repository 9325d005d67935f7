package check

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"holdfast.dev/holdfast/internal/model/finding"
)

// Formats are what a report can be written as.
var writers = map[string]func(Report, io.Writer) error{
	"text": Report.text, "json": Report.json, "sarif": Report.sarif, "junit": Report.junit, "github": Report.github, "markdown": Report.markdown,
}

// formats lists the names of writers for people.
func formats() []string { return []string{"text", "json", "sarif", "junit", "github", "markdown"} }

// line writes a finding, and in which environments it is where that is not all of them.
func (r Report) line(one Finding) string {
	text := one.String()
	if one.Unit != "" && !strings.Contains(text, one.Unit) {
		text += " in " + one.Unit
	}
	if len(one.Environments) > 0 && len(one.Environments) < len(r.Environments) {
		text += " {" + strings.Join(one.Environments, ", ") + "}"
	}
	return text
}

// count counts findings of a severity.
func (r Report) count(severity finding.Severity) int {
	count := 0
	for _, one := range r.Findings {
		if one.Severity == severity {
			count++
		}
	}
	return count
}

// Summary says in one sentence what was found.
func (r Report) Summary() string {
	return fmt.Sprintf("%s, %s and %s in %s of %s, %s", number(r.count(finding.Error), "error"), number(r.count(finding.Warning), "warning"),
		number(r.count(finding.Info), "remark"), number(r.Objects, "object"), number(r.Units, "unit"), number(len(r.Environments), "environment"))
}

func number(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func (r Report) text(out io.Writer) error {
	for _, one := range r.Findings {
		if _, err := fmt.Fprintln(out, r.line(one)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, r.Summary())
	return err
}

func (r Report) json(out io.Writer) error { return writeJSON(out, r) }

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// github writes workflow commands, which GitHub shows at the lines of a change.
func (r Report) github(out io.Writer) error {
	levels := map[finding.Severity]string{finding.Error: "error", finding.Warning: "warning", finding.Info: "notice"}
	for _, one := range r.Findings {
		var where []string
		if one.File != "" {
			where = append(where, "file="+property.Replace(one.File))
			if one.Line > 0 {
				where = append(where, fmt.Sprintf("line=%d", one.Line))
			}
		}
		where = append(where, "title="+property.Replace(one.Rule))
		if _, err := fmt.Fprintf(out, "::%s %s::%s\n", levels[one.Severity], strings.Join(where, ","), message.Replace(r.line(one))); err != nil {
			return err
		}
	}
	return nil
}

// What would end a workflow command, or a part of one.
var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// mostMarkdown is about what GitHub and GitLab take as one comment.
const mostMarkdown = 60000

// markdown writes a comment for a pull request.
func (r Report) markdown(out io.Writer) error {
	var text strings.Builder
	text.WriteString("### holdfast check\n\n" + r.Summary() + ".\n")
	if len(r.Findings) > 0 {
		text.WriteString("\n| | where | what |\n|---|---|---|\n")
	}
	for i, one := range r.Findings {
		where := one.Place()
		if where == "" {
			where = one.Unit
		}
		plain := one.Finding
		plain.File, plain.Severity, plain.Rule, plain.Unit = "", finding.Error, "", ""
		what := strings.Replace(plain.String(), " []", "", 1) + " `" + one.Rule + "`"
		if len(one.Environments) < len(r.Environments) {
			what += " (" + strings.Join(one.Environments, ", ") + ")"
		}
		row := fmt.Sprintf("| %s | %s | %s |\n", one.Severity, cell(where), cell(what))
		if text.Len()+len(row) > mostMarkdown {
			fmt.Fprintf(&text, "\n… and %d more.\n", len(r.Findings)-i)
			break
		}
		text.WriteString(row)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// cell keeps a text inside its cell: what a repository names must not become a link or an image.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "[", "\\[", "@", "@\u200b", "![", "!\\[").Replace(text)
}

type suite struct {
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Cases    []kase   `xml:"testcase"`
}

type kase struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	File    string   `xml:"file,attr,omitempty"`
	Failure *failure `xml:"failure,omitempty"`
}

type failure struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// junit writes each finding as a failed test, and one test that passes where there are none.
func (r Report) junit(out io.Writer) error {
	made := suite{Name: "holdfast check"}
	for _, one := range r.Findings {
		if one.Severity == finding.Info {
			continue
		}
		name := one.Ref.String()
		if one.Ref.Kind == "" {
			name = one.Unit
		}
		made.Cases = append(made.Cases, kase{Class: one.Rule, Name: name, File: one.File, Failure: &failure{string(one.Severity), r.line(one)}})
	}
	made.Failures = len(made.Cases)
	if made.Failures == 0 {
		made.Cases = []kase{{Class: "holdfast", Name: r.Summary()}}
	}
	made.Tests = len(made.Cases)
	raw, err := xml.MarshalIndent(made, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, raw)
	return err
}
