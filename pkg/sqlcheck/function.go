package sqlcheck

// aggregates are the server's aggregate functions (DataFusion 52, AP 4), under
// all their names.
var aggregates = map[string]bool{
	"any_value": true, "approx_distinct": true, "approx_median": true, "approx_percentile_cont": true,
	"approx_percentile_cont_with_weight": true, "array_agg": true, "avg": true, "bit_and": true, "bit_or": true,
	"bit_xor": true, "bool_and": true, "bool_or": true, "corr": true, "count": true, "covar": true, "covar_pop": true,
	"covar_samp": true, "every": true, "first_value": true, "grouping": true, "last_value": true, "max": true, "mean": true,
	"median": true, "min": true, "mode": true, "nth_value": true, "percentile_cont": true, "quantile_cont": true,
	"regr_avgx": true, "regr_avgy": true, "regr_count": true, "regr_intercept": true, "regr_r2": true,
	"regr_slope": true, "regr_sxx": true, "regr_sxy": true, "regr_syy": true, "stddev": true, "stddev_pop": true,
	"stddev_samp": true, "string_agg": true, "sum": true, "var": true, "var_pop": true, "var_population": true,
	"var_samp": true, "var_sample": true,
}

// call is a function in an expression.
type call struct {
	name   Token
	window *span // what OVER says: the inside of its brackets, or a name; nil: no OVER
}

// calls finds the functions in a span, those in subqueries left out. A
// qualified name is a function of a dataset, which is never an aggregate.
func (p *parser) calls(s span) []call {
	var found []call
	for i := s.from; i < s.to; i++ {
		if p.at(i).is("(") && p.beginsQuery(i+1) {
			i = p.at(i).mate
			continue
		}
		if !isName(p.at(i)) || !p.at(i+1).is("(") || p.at(i-1).is(".") {
			continue
		}
		found = append(found, call{p.at(i), p.over(p.past(i + 1))})
	}
	return found
}

// over reads what may follow a call: FILTER (…), WITHIN GROUP (…), IGNORE NULLS
// and OVER.
func (p *parser) over(i int) *span {
	for {
		switch next := p.at(i + 1); {
		case p.key(i) == "FILTER" && next.is("("):
			i = p.past(i + 1)
		case p.key(i) == "WITHIN" && next.Key == "GROUP":
			i = p.past(i + 2)
		case (p.key(i) == "IGNORE" || p.key(i) == "RESPECT") && next.Key == "NULLS":
			i += 2
		case p.key(i) == "OVER" && next.is("("):
			return &span{i + 2, next.mate}
		case p.key(i) == "OVER" && isName(next):
			return &span{i + 1, i + 2}
		default:
			return nil
		}
	}
}
