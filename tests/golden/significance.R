# Golden values of the statistics, made by R: Rscript tests/golden/significance.R > tests/golden/significance_r.json
# R is needed to make them again, not to test. Base R only (Debian: r-base-core). Where base R has no function the definition is
# written out (every sign pattern, matrix algebra, numeric integration). The inputs stand beside the values.

json <- function(x) {
  if (is.null(x)) return("null")
  if (is.list(x)) {
    parts <- vapply(x, json, "")
    if (is.null(names(x))) return(paste0("[", paste(parts, collapse = ", "), "]"))
    return(paste0("{", paste0('"', names(x), '": ', parts, collapse = ", "), "}"))
  }
  if (is.matrix(x)) return(json(lapply(seq_len(nrow(x)), function(row) x[row, ])))
  one <- if (is.character(x)) paste0('"', x, '"') else if (is.logical(x)) tolower(as.character(x)) else sprintf("%.17g", x)
  if (length(x) == 1) one else paste0("[", paste(one, collapse = ", "), "]")
}

# Every sign pattern, one a row.
patterns <- function(n) as.matrix(expand.grid(rep(list(c(-1, 1)), n)))

sign_flip <- function(d) {
  sums <- patterns(length(d)) %*% d
  mean(abs(sums) >= abs(sum(d)) - 1e-12)
}

# Wilcoxon's signed-rank test: 0 dropped, mean ranks for ties. R's own exact p where there are no ties, every pattern elsewhere.
wilcoxon <- function(d) {
  moved <- round(d[d != 0], 10)
  if (anyDuplicated(abs(moved)) == 0) return(wilcox.test(moved, exact = TRUE)$p.value)
  rank <- rank(abs(moved))
  sums <- patterns(length(moved)) %*% rank
  mean(abs(sums) >= abs(sum(sign(moved) * rank)) - 1e-9)
}

# The one-sample effect size with Hedges' exact correction.
hedges <- function(d) {
  df <- length(d) - 1
  exp(lgamma(df / 2) - lgamma((df - 1) / 2)) / sqrt(df / 2) * mean(d) / sd(d)
}

over_models <- function(d, margin) {
  two <- t.test(d)
  lower <- t.test(d, mu = -margin, alternative = "greater")
  upper <- t.test(d, mu = margin, alternative = "less")
  ninety <- t.test(d, conf.level = 0.90)$conf.int
  list(
    differences = d, margin = margin, mean = mean(d), t = unname(two$statistic), p = two$p.value, ci = as.vector(two$conf.int),
    d_z = hedges(d), wilcoxon = wilcoxon(d), sign_flip = if (length(d) <= 16) sign_flip(d) else NULL,
    tost_p = max(lower$p.value, upper$p.value), p_above_minus = lower$p.value, p_below_plus = upper$p.value,
    tost_ci = as.vector(ninety), smallest_margin = max(abs(ninety)), bonferroni_6 = as.vector(t.test(d, conf.level = 1 - 0.05 / 6)$conf.int)
  )
}

set.seed(20240611)
over <- list(
  eight = over_models(c(0.012, -0.004, 0.021, 0.007, -0.001, 0.016, 0.003, 0.009), 0.02),
  ties = over_models(c(0.01, 0.01, -0.01, 0.02, 0.03, -0.02, 0.04, 0.01), 0.05),
  zeros = over_models(c(0, 0.01, -0.02, 0, 0.03, 0.01, 0, 0.05), 0.03),
  all_up = over_models(c(0.11, 0.12, 0.09, 0.14, 0.10, 0.13, 0.08, 0.07), 0.01),
  three = over_models(c(0.5, -0.25, 1.5), 0.75),
  sixteen = over_models(round(rnorm(16, 0.4, 1), 6), 1),
  twenty = over_models(round(rnorm(20, -0.3, 1), 6), 1)
)

smallest_detectable <- function(n, sd, alpha, power) {
  power.t.test(n = n, sd = sd, sig.level = alpha, power = power, type = "one.sample", strict = TRUE, tol = 1e-14)$delta
}
detectable <- lapply(
  list(c(8, 0.01, 0.05, 0.8), c(8, 0.01, 0.05 / 66, 0.8), c(3, 2, 0.05, 0.8), c(3, 2, 0.05 / 6, 0.9), c(40, 1, 0.05, 0.5)),
  function(a) list(n = a[1], sd = a[2], alpha = a[3], power = a[4], delta = smallest_detectable(a[1], a[2], a[3], a[4]))
)

# Both one-sided tests pass where |mean| <= margin - t s / sqrt(n): integrated over s / sigma = r, df r^2 ~ chi-squared.
tost_power <- function(n, ratio, alpha) {
  df <- n - 1
  t <- qt(1 - alpha, df)
  wide <- ratio * sqrt(n)
  inside <- function(r) (2 * pnorm(wide - t * r) - 1) * dchisq(df * r^2, df) * 2 * df * r
  integrate(inside, 0, min(wide / t, 5), rel.tol = 1e-11, subdivisions = 2000)$value
}
fewest <- function(ratio, alpha, power) {
  n <- 3
  while (tost_power(n, ratio, alpha) < power) n <- n + 1
  n
}
tost <- lapply(
  list(c(3, 3), c(8, 1), c(8, 0.3), c(30, 0.5), c(200, 0.2)),
  function(a) list(n = a[1], ratio = a[2], power = tost_power(a[1], a[2], 0.05))
)
needed <- lapply(c(0.15, 0.4, 1, 1.5, 3, 10), function(ratio) list(ratio = ratio, n = fewest(ratio, 0.05, 0.8)))

p <- c(0.011, 0.02, 0.0004, 0.3, 0.02, 0.74, 0.049)
adjusted <- list(
  p = p, holm = p.adjust(p, "holm"), bh = p.adjust(p, "BH"), size = 10, holm_of_10 = p.adjust(p, "holm", n = 10),
  bh_of_10 = p.adjust(p, "BH", n = 10)
)

mcnemar <- lapply(
  list(c(0, 1), c(5, 5), c(3, 12), c(120, 81), c(0, 9)),
  function(a) list(gained = a[1], lost = a[2], p = binom.test(a[1], sum(a))$p.value)
)
wilson <- lapply(list(c(0, 10), c(1, 10), c(10, 10), c(37, 1000), c(1, 1)), function(a) {
  # prop.test warns where a normal approximation is poor; the Wilson interval is what is asked for.
  list(changed = a[1], images = a[2], ci = as.vector(suppressWarnings(prop.test(a[1], a[2], correct = FALSE)$conf.int)))
})

cochran <- function(d, s) {
  one <- rep(1, length(d))
  inverse <- solve(s)
  information <- drop(t(one) %*% inverse %*% one)
  mean <- drop(t(one) %*% inverse %*% d) / information
  q <- drop(t(d - mean) %*% inverse %*% (d - mean))
  half <- qnorm(0.975) / sqrt(information)
  correlation <- cov2cor(s)
  list(
    changes = d, covariance = s, pooled = mean, ci = c(mean - half, mean + half), q = q, df = length(d) - 1,
    p = pchisq(q, length(d) - 1, lower.tail = FALSE), i_squared = max(0, (q - length(d) + 1) / q),
    mean_correlation = mean(correlation[upper.tri(correlation)])
  )
}
factors <- matrix(rnorm(5 * 9), 5)
heterogeneity <- list(
  independent = cochran(c(0.01, 0.03, -0.02, 0.00), diag(c(1, 4, 2, 1) * 1e-4)),
  correlated = cochran(c(0.012, 0.034, -0.02, 0.005, 0.017), tcrossprod(factors) * 1e-5)
)

# t is sqrt((1 + (n - 1) rho) / (1 - rho)) times a Student t.
inflation <- lapply(list(c(8, 0.1), c(8, 0.3), c(8, -0.1), c(3, 0.9)), function(a) {
  k <- sqrt((1 + (a[1] - 1) * a[2]) / (1 - a[2]))
  list(n = a[1], rho = a[2], rate = 2 * pt(-qt(0.975, a[1] - 1) / k, a[1] - 1))
})

cat(paste0(
  '{\n"made_with": ', json(R.version.string), ',\n"over_models": {\n',
  paste0('"', names(over), '": ', vapply(over, json, ""), collapse = ",\n"), '\n},\n"detectable": ', json(detectable),
  ',\n"tost_power": ', json(tost), ',\n"models_needed": ', json(needed), ',\n"adjusted": ', json(adjusted),
  ',\n"mcnemar": ', json(mcnemar), ',\n"wilson": ', json(wilson), ',\n"heterogeneity": ', json(heterogeneity),
  ',\n"inflation": ', json(inflation), "\n}\n"
))
