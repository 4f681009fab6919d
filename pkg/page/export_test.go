package page

// Render returns the whole page of a view.
func Render(v View) string { return whole(moment{sections: render(v)}) }
