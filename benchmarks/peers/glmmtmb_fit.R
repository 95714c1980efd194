# glmmTMB by REML on a CSV file: Rscript glmmtmb_fit.R data.csv formula dispersion factors.
# The last line printed is JSON; `sigmas` are the residual standard deviations of the strata.
options(warn = -1)
suppressMessages(library(glmmTMB))
arguments <- commandArgs(TRUE)
table <- read.csv(arguments[1])
for (name in strsplit(arguments[4], ",")[[1]]) table[[name]] <- factor(table[[name]])
before <- proc.time()
fit <- glmmTMB(as.formula(arguments[2]), table, dispformula = as.formula(arguments[3]), REML = TRUE)
took <- proc.time() - before
cat(sprintf(
  "{\"seconds\": %f, \"cpu\": %f, \"criterion\": %.6f, \"sigmas\": [%s], \"version\": \"%s\"}\n",
  took[["elapsed"]], took[["user.self"]] + took[["sys.self"]], -2 * as.numeric(logLik(fit)),
  paste(exp(fixef(fit)$disp / 2), collapse = ", "), as.character(packageVersion("glmmTMB"))))
