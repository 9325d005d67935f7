package cli

import (
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/check"
	"holdfast.dev/holdfast/internal/cli/preview"
	"holdfast.dev/holdfast/internal/stage/render"
)

func newCheckCommand(std Streams, target *target) *cobra.Command {
	return check.New(check.Outside{Out: std.Out, Err: std.Err, Reach: target.config, Opener: openerAtHand})
}

// openerAtHand returns what decrypts with the keys of a file, or with those that sops would find; nil where
// there are none.
func openerAtHand(keyFile string) (render.Opener, error) {
	var options preview.Options
	flags := buildFlags{ageKeyFile: keyFile}
	err := flags.unseal(&options)
	return options.Opener, err
}
