package tensor

import "testing"

// Element (n,c,y,x) of a counted-through tensor is its place in N,C,H,W order, and a view of images shares it.
func TestOrder(t *testing.T) {
	a := New(3, 2, 4, 5)
	for i := range a.Data {
		a.Data[i] = float32(i)
	}
	if got, want := a.At(2, 1, 3, 4), float32(len(a.Data)-1); got != want {
		t.Errorf("the last element is %v, want %v", got, want)
	}
	if got, want := a.At(1, 0, 2, 3), float32(1*2*4*5+2*5+3); got != want {
		t.Errorf("element (1,0,2,3) is %v, want %v", got, want)
	}
	b := a.Images(1, 3)
	if b.Shape() != "2x2x4x5" || b.At(0, 0, 0, 0) != 40 {
		t.Errorf("images 1 and 2: %s, beginning with %v", b.Shape(), b.At(0, 0, 0, 0))
	}
	b.Set(1, 1, 3, 4, -1)
	if a.At(2, 1, 3, 4) != -1 {
		t.Error("a view of images does not share their memory")
	}
	first := a.Images(0, 1)
	first.Data = append(first.Data, 7)
	if a.At(1, 0, 0, 0) != 40 {
		t.Error("appending to a view writes on into the next image")
	}
}
