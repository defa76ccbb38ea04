package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/internal/sheet"
)

func newModelsCommand() *cobra.Command {
	var markdown string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the published weights that vggo pull downloads",
		Long: `List the published weights that vggo pull downloads, with what their publishers say
of them. --json and --markdown tell where each figure was read; what is blank nobody
says. Accuracy is the publisher's, on ImageNet's validation pictures.`,
		Example: `  vggo models
  vggo models --json
  vggo models --markdown=zh-CN`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return hint(errors.New("vggo models lists all weights, and takes no names"),
					"vggo pull NAME downloads them; a language is given as in --markdown=zh-CN")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			switch {
			case markdown != "":
				return writeModelsPage(out, markdown)
			case asJSON:
				return writeJSON(out, listModels())
			}
			t := sheet.New("name", "network", "size", "top-1", "top-5", "preprocess", "licence", "here").
				Figures(3, 4, 5).Narrow(0, 7, 6, 5, 2)
			for _, m := range listModels() {
				top1, top5 := percentages(m.Accuracy.Value)
				here := ""
				if m.Path != "" {
					here = "yes"
				}
				t.Row(m.Name, m.Network, m.Size.Value.String(), top1, top5, m.Preprocess.Value, m.Licence.Value, here)
			}
			_, err := fmt.Fprintln(out, t.Text(sheet.Columns(out)))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the source of each figure")
	cmd.Flags().StringVar(&markdown, "markdown", "", "print docs/models.md, or in another `language` (zh-CN) its "+
		"translation")
	cmd.Flags().Lookup("markdown").NoOptDefVal = "en"
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	return cmd
}

// model is an entry and where it is.
type model struct {
	hub.Entry
	Trust string `json:"trust"`          // what a download is held against
	Path  string `json:"path,omitempty"` // in the cache
}

func listModels() []model {
	var list []model
	for _, e := range hub.All() {
		m := model{Entry: e, Trust: e.Trust()}
		if path, ok := hub.Path(e); ok {
			m.Path = path
		}
		list = append(list, m)
	}
	return list
}

// percentages are empty where accuracy is not published.
func percentages(p hub.Performance) (top1, top5 string) {
	if p == (hub.Performance{}) {
		return "", ""
	}
	return fmt.Sprintf("%.2f %%", p.Top1), fmt.Sprintf("%.2f %%", p.Top5)
}
