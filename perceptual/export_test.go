package perceptual

// Files are the checksums by which each network's weights are recognised.
func Files() map[string][]string {
	all := map[string][]string{}
	for _, n := range networks {
		all[n.name] = n.files
	}
	return all
}
