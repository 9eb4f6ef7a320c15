module halab.test/pause

go 1.24
