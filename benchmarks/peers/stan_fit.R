# brms or rstanarm on a CSV file: Rscript stan_fit.R package data.csv formula out.csv runs factors
# draws chains cores. The last line printed is JSON. brms compiles once, in the first run's time.
options(warn = -1)
arguments <- commandArgs(TRUE)
package <- arguments[1]
formula <- as.formula(arguments[3])
factors <- strsplit(arguments[6], ",")[[1]]
draws <- as.integer(arguments[7])
chains <- as.integer(arguments[8])
cores <- as.integer(arguments[9])
started <- proc.time()[["elapsed"]]
suppressMessages(suppressWarnings(library(package, character.only = TRUE)))
if (package == "brms" && system.file("include", package = "BH") == "") {
  # Debian's BH leaves Boost's headers where the system has them.
  rstan::rstan_options(boost_lib = "/usr/include")
}
imported <- proc.time()[["elapsed"]] - started
table <- read.csv(arguments[2])
for (name in factors) table[[name]] <- factor(table[[name]])
totals <- c()
fit <- NULL
for (seed in seq_len(as.integer(arguments[5]))) {
  start <- proc.time()[["elapsed"]]
  if (package == "brms") {
    fit <- if (is.null(fit)) {
      brm(formula, table, iter = 2 * draws, chains = chains, cores = cores, seed = seed,
          refresh = 0, silent = 2)
    } else {
      update(fit, recompile = FALSE, seed = seed, refresh = 0, silent = 2, cores = cores)
    }
    found <- as.array(fit)
    keep <- grepl("^(b_|sd_|cor_|sigma)", dimnames(found)[[3]])
  } else {
    fit <- stan_lmer(formula, table, iter = 2 * draws, chains = chains, cores = cores,
                     seed = seed, refresh = 0)
    found <- as.array(fit)
    keep <- !grepl("^b\\[", dimnames(found)[[3]])
  }
  totals <- c(totals, proc.time()[["elapsed"]] - start)
}
found <- found[, , keep, drop = FALSE]
names <- dimnames(found)[[3]]
# One row per draw, chains below each other.
long <- do.call(rbind, lapply(seq_len(dim(found)[2]), function(k) {
  data.frame(chain = k, matrix(found[, k, ], ncol = length(names)))
}))
colnames(long) <- c("chain", names)
write.csv(long, arguments[4], row.names = FALSE)
cat(sprintf("{\"import s\": %f, \"totals\": [%s], \"version\": \"%s\"}\n", imported,
            paste(totals, collapse = ", "), as.character(packageVersion(package))))
