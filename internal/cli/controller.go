package cli

import (
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/daemon"
)

func newControllerCommand(std Streams, target *target) *cobra.Command {
	return daemon.New(std.Err, target.config)
}
