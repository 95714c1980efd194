# lmer on a CSV file: Rscript lmer_fit.R data.csv formula factors runs. Last line: JSON.
options(warn = -1)
suppressMessages(library(lme4))
arguments <- commandArgs(TRUE)
table <- read.csv(arguments[1])
for (name in strsplit(arguments[3], ",")[[1]]) table[[name]] <- factor(table[[name]])
totals <- sapply(seq_len(as.integer(arguments[4])), function(k) {
  system.time(suppressMessages(lmer(as.formula(arguments[2]), table)))[["elapsed"]]
})
cat(sprintf("{\"totals\": [%s], \"version\": \"%s\"}\n", paste(totals, collapse = ", "),
            as.character(packageVersion("lme4"))))
