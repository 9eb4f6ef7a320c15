module halab.test/tools

go 1.26.0
