package sealed_test

import (
	"testing"

	"holdfast.dev/holdfast/internal/model/sealed"
)

const value = "ENC[AES256_GCM,data:YQ==,iv:Yg==,tag:Yw==,type:str]"

func TestSniff(t *testing.T) {
	cases := map[string]struct {
		why, data string
		want      sealed.Format
	}{
		"Plain":        {why: "nothing is encrypted", data: "a: b\n"},
		"YAML":         {why: "as SOPS writes it", data: "a: " + value + "\nsops:\n    mac: " + value + "\n", want: sealed.YAML},
		"YAMLFlow":     {why: "people reformat files", data: "a: " + value + "\nsops: {age: [], mac: '" + value + "'}\n", want: sealed.YAML},
		"YAMLQuoted":   {why: "formatters add quotes", data: "a: " + value + "\n\"sops\":\n  \"mac\": \"" + value + "\"\n", want: sealed.YAML},
		"JSON":         {why: "as SOPS writes it", data: "{\n\t\"a\": \"" + value + "\",\n\t\"sops\": {\"mac\": \"" + value + "\"}\n}", want: sealed.JSON},
		"CompactJSON":  {why: "Flux overlooks this one and delivers it encrypted", data: `{"a":"` + value + `","sops":{"mac":"` + value + `"}}`, want: sealed.JSON},
		"Dotenv":       {why: "as SOPS writes it", data: "a=" + value + "\nsops_mac=" + value + "\n", want: sealed.Dotenv},
		"INI":          {why: "as SOPS writes it", data: "[a]\nb = " + value + "\n\n[sops]\nmac = " + value + "\n", want: sealed.INI},
		"Manual":       {why: "a text about SOPS is not encrypted", data: "# Secrets\n\n    a: " + value + "\n    sops:\n        mac: " + value + "\n"},
		"Truncated":    {why: "without its metadata nothing can be opened", data: "a: " + value + "\nsops:\n    age: []\n"},
		"TopLevelMAC":  {why: "a mac of somebody else's", data: "mac: " + value + "\n"},
		"OnlyMetadata": {why: "a file whose only value is empty", data: "a: \"\"\nsops:\n    mac: " + value + "\n", want: sealed.YAML},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, _ := sealed.Sniff([]byte(c.data)); got != c.want {
				t.Errorf("%s: format %q, want %q", c.why, got, c.want)
			}
		})
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]sealed.Format{
		"values.yaml": sealed.YAML, "a.yml": sealed.YAML, "a.json": sealed.JSON, ".dockerconfigjson": sealed.JSON,
		"prod.env": sealed.Dotenv, "a.ini": sealed.INI, "token": sealed.Binary, "a.txt": sealed.Binary,
	} {
		if got := sealed.FormatOf(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := sealed.EnvFormatOf("secrets.txt"); got != sealed.Dotenv {
		t.Errorf("an environment file without extension is read as %s", got)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("a: " + value + "\nsops:\n    mac: " + value + "\n"))
	f.Add([]byte(`{"sops":{"mac":"` + value + `"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, found := sealed.Sniff(data); found && !sealed.HoldsValues(data) {
			t.Error("data without encrypted values counts as encrypted")
		}
	})
}
