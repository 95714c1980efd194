# brms on a CSV file, any model: Rscript brms_fit.R data.csv model options.json out.csv
# `model` is R code for what brm() takes first. Options: `family` (R code), `labels`, `draws`,
# `chains`, `runs`. One process and thread, so that CPU seconds count every chain; brms compiles
# once, in the first run's time. The last line printed is JSON.
options(warn = -1)
arguments <- commandArgs(TRUE)
options <- jsonlite::fromJSON(arguments[3])
used <- function() sum(proc.time()[c("user.self", "sys.self", "user.child", "sys.child")])
started <- proc.time()[["elapsed"]]
suppressMessages(suppressWarnings(library(brms)))
if (system.file("include", package = "BH") == "") {
  # Debian's BH leaves Boost's headers where the system has them.
  rstan::rstan_options(boost_lib = "/usr/include")
}
imported <- proc.time()[["elapsed"]] - started
table <- read.csv(arguments[1])
for (name in options$labels) table[[name]] <- factor(table[[name]])
model <- eval(parse(text = arguments[2]))
family <- eval(parse(text = options$family))
totals <- c()
cpu <- c()
fit <- NULL
for (seed in seq_len(options$runs)) {
  start <- proc.time()[["elapsed"]]
  before <- used()
  fit <- if (is.null(fit)) {
    brm(model, table, family = family, iter = 2 * options$draws, chains = options$chains,
        cores = 1, seed = seed, refresh = 0, silent = 2)
  } else {
    update(fit, recompile = FALSE, seed = seed, refresh = 0, silent = 2, cores = 1)
  }
  totals <- c(totals, proc.time()[["elapsed"]] - start)
  cpu <- c(cpu, used() - before)
}
found <- as.array(fit)
names <- dimnames(found)[[3]]
keep <- !grepl("^(r_|lp|lprior|z_|Intercept$|zs_|disc$)", names)
found <- found[, , keep, drop = FALSE]
long <- do.call(rbind, lapply(seq_len(dim(found)[2]), function(k) {
  data.frame(chain = k, matrix(found[, k, ], ncol = sum(keep)))
}))
colnames(long) <- c("chain", names[keep])
write.csv(long, arguments[4], row.names = FALSE)
cat(sprintf("{\"import s\": %f, \"totals\": [%s], \"cpu totals\": [%s], \"version\": \"%s\"}\n",
            imported, paste(totals, collapse = ", "), paste(cpu, collapse = ", "),
            as.character(packageVersion("brms"))))
