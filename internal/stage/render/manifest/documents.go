package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// separator is what kustomize takes for the line between two documents (kyaml kio: splitDocuments).
var separator = regexp.MustCompile(`\n---.*\n`)

// Split cuts a file into documents at the places where kustomize does. Some may be empty.
func Split(data []byte) ([]string, error) {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	if text == "" {
		return nil, nil
	}
	var texts []string
	from := 0
	for _, at := range separator.FindAllStringIndex(text, -1) {
		rest := strings.TrimSpace(text[at[0]+len("\n---") : at[1]])
		if rest != "" && rest[0] != '#' {
			return nil, fmt.Errorf("invalid document separator: %s", strings.TrimSpace(text[at[0]:at[1]]))
		}
		texts = append(texts, text[from:at[0]]+"\n")
		from = at[1]
	}
	return append(texts, text[from:]), nil
}

// Join writes a file with only some of its documents, so that kustomize reads each of them
// exactly as it does in the whole file. The numbers are sorted.
func Join(texts []string, kept []int) []byte {
	var file strings.Builder
	for i, text := range texts {
		if !slices.Contains(kept, i) {
			continue
		}
		file.WriteString(text)
		if i < len(texts)-1 {
			file.WriteString("---\n")
		}
	}
	return []byte(file.String())
}
