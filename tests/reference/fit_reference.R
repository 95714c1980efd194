# Fits by lme4 at tight tolerances, written as tests/reference/reml/NAME.json, with their data.
#
#     Rscript tests/reference/fit_reference.R tests/reference
#
# Made with R 4.2.2, lme4 1.1-31 and nlme 3.1-162; the other files of reml/ are of the same form.
suppressMessages(library(lme4))
folder <- commandArgs(TRUE)[1]

json <- function(x) {
  if (is.list(x) && !is.null(names(x)))
    return(paste0("{", paste0('"', names(x), '": ', vapply(x, json, ""), collapse = ",\n"), "}"))
  if (is.list(x)) return(paste0("[", paste(vapply(x, json, ""), collapse = ", "), "]"))
  if (is.array(x))
    return(json(lapply(seq_len(dim(x)[1]), function(i)
      if (length(dim(x)) == 3) matrix(x[i, , ], dim(x)[2]) else I(as.vector(x[i, ])))))
  one <- if (is.character(x)) paste0('"', x, '"') else if (is.logical(x)) tolower(x) else
    trimws(formatC(x, digits = 15, format = "g"))
  one[is.na(x)] <- "null"
  if (length(x) == 1 && !inherits(x, "AsIs")) one else
    paste0("[", paste(one, collapse = ", "), "]")
}

tight <- list(
  lmerControl("bobyqa", calc.derivs = FALSE,
              optCtrl = list(rhoend = 1e-10, maxfun = 1e6)),
  lmerControl("Nelder_Mead", calc.derivs = FALSE,
              optCtrl = list(FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10, maxfun = 1e5))
)

best <- function(formula, data, reml) {
  fits <- lapply(tight, function(control)
    suppressMessages(suppressWarnings(lmer(formula, data, REML = reml, control = control))))
  # Once more from the better end: both optimisers can stop early in long valleys.
  start <- fits[[which.min(vapply(fits, function(m) -as.numeric(logLik(m)), 0))]]
  again <- lapply(tight, function(control) suppressMessages(suppressWarnings(
    lmer(formula, data, REML = reml, control = control, start = getME(start, "theta")))))
  all <- c(fits, again)
  all[[which.min(vapply(all, function(m) -as.numeric(logLik(m)), 0))]]
}

describe <- function(m) {
  X <- getME(m, "X"); Z <- as.matrix(getME(m, "Z")); s <- sigma(m)
  L <- t(as.matrix(getME(m, "Lambdat")))
  inverse <- solve(crossprod(Z %*% L) + diag(ncol(Z)))
  V <- as.matrix(vcov(m))
  given <- s^2 * L %*% inverse %*% t(L)
  J <- L %*% inverse %*% t(L) %*% t(Z) %*% X
  whole <- given + J %*% V %*% t(J)
  Gp <- getME(m, "Gp"); terms <- getME(m, "cnms"); modes <- getME(m, "b")
  flist <- getME(m, "flist"); groups <- names(terms)
  ranef <- lapply(seq_along(terms), function(k) {
    q <- length(terms[[k]]); at <- (Gp[k] + 1):Gp[k + 1]; n <- length(at) / q
    mode <- matrix(as.matrix(modes)[at], n, q, byrow = TRUE)
    block <- function(M) aperm(array(vapply(seq_len(n), function(i)
      M[at[(i - 1) * q + seq_len(q)], at[(i - 1) * q + seq_len(q)]], matrix(0, q, q)),
      c(q, q, n)), c(3, 1, 2))
    keep <- seq_len(min(n, 20))
    list(group = groups[k], terms = I(terms[[k]]), levels = I(levels(flist[[groups[k]]])[keep]),
         mode = mode[keep, , drop = FALSE], sum_of_squares_all_levels = I(colSums(mode^2)),
         cond_cov = block(given)[keep, , , drop = FALSE],
         pred_err_cov = block(whole)[keep, , , drop = FALSE])
  })
  varcorr <- lapply(seq_along(terms), function(k) {
    G <- VarCorr(m)[[k]]
    list(group = groups[k], terms = I(terms[[k]]), sd = I(as.vector(attr(G, "stddev"))),
         corr = unname(attr(G, "correlation")), cov = unname(matrix(G, nrow(G))))
  })
  list(criterion = -2 * as.numeric(logLik(m)), logLik = as.numeric(logLik(m)),
       df = attr(logLik(m), "df"), sigma = s, theta = I(as.vector(getME(m, "theta"))),
       theta_names = I(names(getME(m, "theta"))),
       fixef = list(names = I(names(fixef(m))), estimate = I(as.vector(fixef(m))),
                    se = I(sqrt(diag(V)))),
       vcov_fixef = unname(V), varcorr = varcorr, isSingular = isSingular(m), ranef = ranef)
}

certify <- function(name, dataset, formula, data, source) {
  factors <- names(data)[vapply(data, is.factor, NA)]
  for (f in factors) data[[f]] <- factor(as.character(data[[f]]), levels(factor(data[[f]], ordered = FALSE)))
  write.csv(data, file.path(folder, "data", paste0(dataset, ".csv")), row.names = FALSE, na = "")
  seconds <- system.time(lmer(formula, data))[["elapsed"]]
  fits <- list(best(formula, data, TRUE), best(formula, data, FALSE))
  text <- json(list(
    name = name, dataset = dataset, source = source,
    formula = paste(deparse(formula, 500), collapse = ""), nobs = nobs(fits[[1]]),
    n_rows_in_file = nrow(data), groups = as.list(ngrps(fits[[1]])),
    software = paste0("R ", getRversion(), " lme4 ", packageVersion("lme4")),
    contrasts = "contr.treatment",
    factor_levels = lapply(data[factors], function(f) I(levels(f))),
    reml = describe(fits[[1]]), ml = describe(fits[[2]]), timing = list(median = seconds)))
  writeLines(text, file.path(folder, "reml", paste0(name, ".json")))
  cat(name, nobs(fits[[1]]), fits[[1]]@optinfo$optimizer, -2 * as.numeric(logLik(fits[[1]])), "\n")
}

plain <- function(data) { class(data) <- "data.frame"; data }

# Growth with an interaction, and a slope on days 1 to 64 far from their origin.
certify("bodyweight_rs", "BodyWeight", weight ~ Time * Diet + (Time | Rat),
        plain(nlme::BodyWeight), "Hand & Crowder (1996), Table A.1; R package nlme")
# A quadratic slope: three correlated columns.
certify("oxboys_quadratic", "Oxboys", height ~ age + I(age^2) + (age + I(age^2) | Subject),
        plain(nlme::Oxboys), "Goldstein (1987); R package nlme")
# Three levels with correlated slopes at both.
certify("wafer_slopes", "Wafer", current ~ voltage + I(voltage^2) + (voltage | Wafer/Site),
        plain(nlme::Wafer), "Pinheiro & Bates (2000), Appendix A.30; R package nlme")
# Rows with missing values (37 of 153 have no response), covariates far from their origin.
air <- datasets::airquality
air$Month <- factor(month.abb[air$Month], month.abb[5:9])
certify("airquality_missing", "airquality", Ozone ~ Wind + Temp + (Wind | Month), air,
        "Chambers, Cleveland, Kleiner & Tukey (1983); R package datasets")
