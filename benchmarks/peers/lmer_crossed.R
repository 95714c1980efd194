# lmer on a CSV file, processor seconds: Rscript lmer_crossed.R data.csv formula factors.
# Last line: JSON, with the sds of effects and residuals.
options(warn = -1)
suppressMessages(library(lme4))
arguments <- commandArgs(TRUE)
table <- read.csv(arguments[1])
for (name in strsplit(arguments[3], ",")[[1]]) table[[name]] <- factor(table[[name]])
time <- system.time(fit <- suppressMessages(lmer(as.formula(arguments[2]), table)))
cat(sprintf("{\"s\": %.2f, \"processor\": %.2f, \"sds\": [%s], \"version\": \"%s\"}\n",
            time[["elapsed"]], time[["user.self"]] + time[["sys.self"]],
            paste(sprintf("%.5f", as.data.frame(VarCorr(fit))$sdcor), collapse = ", "),
            as.character(packageVersion("lme4"))))
