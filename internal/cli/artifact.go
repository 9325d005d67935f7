package cli

import (
	"github.com/spf13/cobra"

	"holdfast.dev/holdfast/internal/cli/artifact"
)

// newPushCommand, newPullCommand and newTagCommand are words that Flux's command line has, too.
func newPushCommand(std Streams) *cobra.Command {
	return group("push", "Push an artifact to a registry", artifact.NewPush(std.Out))
}

func newPullCommand(std Streams) *cobra.Command {
	return group("pull", "Pull an artifact from a registry", artifact.NewPull(std.Out))
}

func newTagCommand(std Streams) *cobra.Command {
	return group("tag", "Tag an artifact of a registry", artifact.NewTag(std.Out))
}

func group(use, short string, command *cobra.Command) *cobra.Command {
	parent := &cobra.Command{Use: use, Short: short}
	parent.AddCommand(command)
	return parent
}
