module github.com/ampipe/ampipe/deploy/deploytest

go 1.26.0

replace github.com/ampipe/ampipe => ../..
