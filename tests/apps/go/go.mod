module apps

go 1.19
