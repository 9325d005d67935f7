package document

import (
	"path/filepath"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

// Format is how a file is written. The names are those of SOPS.
type Format string

// The formats.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	Binary Format = "binary" // anything else: the whole file is one value
)

// FormatOf returns the format that a file's name stands for, as for sops.
func FormatOf(name string) Format {
	switch base := filepath.Base(name); {
	case strings.HasSuffix(base, ".yaml"), strings.HasSuffix(base, ".yml"):
		return YAML
	case strings.HasSuffix(base, ".json"):
		return JSON
	case strings.HasSuffix(base, ".env"):
		return Dotenv
	case strings.HasSuffix(base, ".ini"):
		return INI
	default:
		return Binary
	}
}

// Style is how files of each format are written; nil is the default of sops.
type Style = config.StoresConfig

// store returns what reads and writes a format.
func (f Format) store(style *Style) sops.Store {
	if style == nil {
		style = config.NewStoresConfig()
	}
	switch f {
	case YAML:
		return yaml.NewStore(&style.YAML)
	case JSON:
		return json.NewStore(&style.JSON)
	case Dotenv:
		return dotenv.NewStore(&style.Dotenv)
	case INI:
		return ini.NewStore(&style.INI)
	default:
		return json.NewBinaryStore(&style.JSONBinary)
	}
}
