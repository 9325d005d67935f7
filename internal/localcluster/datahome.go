package localcluster

import (
	"os"
	"path/filepath"
	"runtime"
)

// dataHome returns the folder in which programs of this user keep their data.
func dataHome() (string, error) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return os.UserConfigDir() // %AppData% and ~/Library/Application Support hold data as well
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "share"), nil
}
