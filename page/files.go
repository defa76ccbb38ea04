// Package page is the web page that looks inside a network: its files, and what they ask for, worked out from one
// picture's way through a vggo.Model. Package serve puts it behind HTTP, with its limits.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
)

//go:embed static
var static embed.FS

// kinds are the media types of the page's files. The system's own table would differ from machine to machine.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8",
}

// File is one of the page's files.
type File struct {
	Text []byte
	Kind string
	ETag string // by its content
}

// Files are all of the page's files by their names, whatever their folders: "index.html", "main.js".
func Files() map[string]File {
	files := map[string]File{}
	root, _ := fs.Sub(static, "static") // it is embedded under this name, and none of it fails to be read
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			text, _ := fs.ReadFile(root, name)
			sum := sha256.Sum256(text)
			files[path.Base(name)] = File{text, kinds[path.Ext(name)], `"` + hex.EncodeToString(sum[:12]) + `"`}
		}
		return nil
	})
	return files
}

// ServeHTTP writes the file, or that the browser's copy is still good.
func (f File) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ETag", f.ETag)
	h.Set("Cache-Control", "no-cache") // kept, and asked for again: another build may stand here tomorrow
	if r.Header.Get("If-None-Match") == f.ETag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.Kind)
	h.Set("Content-Length", strconv.Itoa(len(f.Text)))
	_, _ = w.Write(f.Text) // a browser that has left is not told
}
