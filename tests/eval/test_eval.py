"""Unit tests of the evaluation's arithmetic and planning: no broker, no programs."""
import math
import os
import random
import sys
import tempfile
import unittest
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import charts  # noqa: E402
import figures  # noqa: E402
import plan  # noqa: E402
import ranking  # noqa: E402
import rankings  # noqa: E402
import stats  # noqa: E402
import streams  # noqa: E402
import verdict  # noqa: E402


def stream(name="s", events=1000):
    return streams.Stream(name, "/s.csv", 3.0, "0" * 64,
                          {"events": events, "users": 100, "items": 40, "binary": False})


class Statistics(unittest.TestCase):
    def test_two_sided_p_agrees_with_tables_of_students_t(self):
        # critical values of t at p = 0.05 and 0.01; 1 degree of freedom has a closed form
        for degrees, at_5, at_1 in ((2, 4.302653, 9.924843), (4, 2.776445, 4.604095), (9, 2.262157, 3.249836),
                                    (30, 2.042272, 2.749996)):
            self.assertAlmostEqual(stats.t_two_sided(at_5, degrees), 0.05, places=6)
            self.assertAlmostEqual(stats.t_two_sided(-at_1, degrees), 0.01, places=6)
        for t in (0.1, 1.0, 7.0):
            self.assertAlmostEqual(stats.t_two_sided(t, 1), 1 - 2 / math.pi * math.atan(t), places=12)

    def test_paired_test_of_the_sleep_data(self):
        # Student's own data (Cushny and Peebles 1905): t = -4.0621, 9 degrees, p = 0.002833
        first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
        second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
        test = stats.paired(first, second)
        self.assertEqual(test["n"], 10)
        self.assertAlmostEqual(test["mean"], -1.58, places=12)
        self.assertAlmostEqual(test["t"], -4.0621, places=4)
        self.assertAlmostEqual(test["p"], 0.002833, places=6)

    def test_one_pair_is_not_tested_and_equal_differences_have_no_doubt(self):
        self.assertIsNone(stats.paired([0.7], [0.6])["p"])
        self.assertEqual(stats.paired([0.5, 0.5], [0.5, 0.5])["p"], 1.0)
        self.assertEqual(stats.paired([0.75, 0.75], [0.5, 0.5])["p"], 0.0)

    def test_a_bracket_is_the_neighbours_or_the_nearest_end(self):
        rows = {0.5: 900, 1.0: 500, 2.0: 200}
        self.assertEqual(stats.bracket(rows, 300), (2.0, 1.0))
        self.assertEqual(stats.bracket(rows, 500), (1.0, 1.0))
        self.assertEqual(stats.bracket(rows, 100), (2.0, 2.0))
        self.assertEqual(stats.bracket(rows, 1000), (0.5, 0.5))
        self.assertAlmostEqual(stats.on_line(300, 200, 0.7, 500, 0.76), 0.72)
        self.assertAlmostEqual(stats.on_line(100, 200, 0.7, 500, 0.76), 0.7)

    def test_calibration_error_weighs_bins_by_events(self):
        self.assertAlmostEqual(stats.calibration_error([3, 1, 0], [0.5, 0.9, 0], [0.4, 0.5, 0]), 0.175)


class Planning(unittest.TestCase):
    def test_a_stream_is_named_by_its_file_and_takes_a_positive_above(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "my ratings.csv.gz")
            open(path, "wb").close()
            got = streams.parse(f"{path}:3.5", "", folder)
            self.assertEqual((got.name, got.positive), ("my-ratings", 3.5))
            self.assertIsNone(streams.parse(path, "", folder).positive)
            with self.assertRaises(streams.SetupError):
                streams.parse(f"{path}x:3", "", folder)

    def test_a_reshuffled_stream_has_its_events_in_another_order_within_each_timestamp_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "clicks.csv")
            lines = [f"u{i},i{i},{int(i % 50 < 10)},{i // 50}" for i in range(500)]  # positives first
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(["user,item,label,timestamp", *lines]) + "\n")
            got = streams.parse(f"reshuffled:{path}:0", "", folder)
            self.assertEqual((got.name, got.positive), ("clicks-reshuffled", 0))
            with open(got.path, encoding="utf-8") as f:
                head, *now = f.read().splitlines()
            self.assertEqual((head, sorted(now)), ("user,item,label,timestamp", sorted(lines)))
            self.assertEqual([x.split(",")[3] for x in now], [x.split(",")[3] for x in lines])
            early = sum(x.split(",")[2] == "1" for i, x in enumerate(now) if i % 50 < 10)
            self.assertTrue(5 <= early <= 40)  # of 100; 20 are expected, 100 in the leaking order

    def test_equal_runs_have_one_key_and_any_difference_another(self):
        run = plan.Run(stream(), "deepfm", "default", 1)
        self.assertEqual(run.key("b"), plan.Run(stream(), "deepfm", "default", 1).key("b"))
        others = [plan.Run(stream(), "fm", "default", 1), plan.Run(stream(), "deepfm", "rule", 1),
                  plan.Run(stream(), "deepfm", "default", 2), plan.Run(stream(), "deepfm", "default@agent.gamma=0.5", 1)]
        self.assertEqual(len({r.key("b") for r in [run, *others]} | {run.key("c")}), 6)

    def test_late_figures_begin_at_half_and_settings_of_a_variant_come_last(self):
        got = plan.Run(stream(events=1001), "deepfm", "paper@agent.positions=3,agent.gamma=0", 7).all_settings()
        self.assertIn("pipeline.late_from=500", got)
        self.assertIn("agent.mode=paper", got)
        self.assertEqual(got[-2:], ["agent.positions=3", "agent.gamma=0"])

    def test_hash_gets_the_defaults_rows_and_random_its_rates(self):
        default = [{"assigner": {"user_rows_unique_peak": 20, "user_rows_shared": 15, "item_rows_unique_peak": 5,
                                 "item_rows_shared": 15, "events": 1000, "own_reads": 400, "promotions": 80,
                                 "demotions": 30, "visits": 3000}}]
        self.assertEqual(plan.matched_settings("hash", stream(), default),
                         ["fields.user.hash_rows=35", "fields.item.hash_rows=20"])
        self.assertEqual(plan.matched_settings("random", stream(), default),
                         ["agent.random_ascend=0.05", "agent.random_descend=0.01"])

    def test_thresholds_scale_and_stay_at_least_one(self):
        self.assertEqual(plan.thresholds({"user": 5, "item": 10}, 0.1),
                         ["fields.user.threshold=1", "fields.item.threshold=1"])
        self.assertEqual(plan.thresholds({"user": 5, "item": 10}, 1.6),
                         ["fields.user.threshold=8", "fields.item.threshold=16"])


class Figures(unittest.TestCase):
    def raw(self):
        learner = {"auc": 0.75, "mse": 0.2, "accuracy": 0.7, "logloss": 0.6, "auc_seen_lt10": None, "events": 1000,
                   "row_bytes": 100 * 136, "rows_live": 100, "row_bytes_peak": 120 * 136, "critic_bytes": 500,
                   "calibration_events": [10, 0], "calibration_prediction_mean": [0.5, None],
                   "calibration_label_mean": [0.4, None], "events_per_s": 1e5}
        assigner = {"ids_seen": 1000, "table_bytes": 4000, "agent_bytes": 180}
        return {"learner": learner, "assigner": assigner, "ingest": {"peak_resident_bytes": 7}}

    def test_ratios_are_of_a_full_table_with_its_index(self):
        row = figures.figures_of(plan.Run(stream(), "deepfm", "default", 1), self.raw())
        self.assertEqual((row["rows_end"], row["rows_peak"]), (100, 120))
        self.assertAlmostEqual(row["rows_ratio"], 0.1)
        self.assertAlmostEqual(row["rows_ratio_peak"], 0.12)
        self.assertAlmostEqual(row["bytes_ratio"], (120 * 136 + 4000 + 180 + 500) / (1000 * (136 + 16)))
        self.assertAlmostEqual(row["calibration_error"], 0.1)

    def test_the_whole_system_is_ids_rows_optimizer_and_a_replica(self):
        raw = self.raw()
        raw["learner"].update(rows_held_bytes=20000, row_optimizer_bytes=5000, dense_bytes=300)
        row = figures.figures_of(plan.Run(stream(), "deepfm", "default", 1), raw)
        self.assertEqual((row["ids_bytes"], row["rows_bytes"], row["optimizer_bytes"]), (4000, 15000, 5000))
        self.assertEqual(row["replica_bytes"], 1000 * 16 + 100 * 136 * 0.75)
        self.assertEqual(row["system_bytes"], 4000 + 20000 + 26200 + 180 + 500 + 300)
        self.assertAlmostEqual(row["system_ratio"], row["system_bytes"] / 1000)

    def test_csv_has_the_promised_columns_first_and_empty_cells_for_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.csv")
            figures.write_csv(path, [])
            figures.append_csv(path, figures.figures_of(plan.Run(stream(), "deepfm", "default", 1), self.raw()))
            with open(path, encoding="utf-8") as text:
                head, line = text.read().splitlines()
        self.assertTrue(head.startswith("stream,model,mode,seed,auc,mse,accuracy,logloss,auc_seen_lt10,rows_ratio,"
                                        "bytes_ratio,events_per_s,"))
        self.assertTrue(line.startswith("s,deepfm,default,1,0.75,0.2,0.7,0.6,,0.1,"))

    def test_gnuplot_draws_a_chart_with_gaps(self):
        svg = charts.chart("t", "x", "y", [("a", [1, 2, 3], [1.0, float("nan"), 2.0])])
        self.assertIn("<svg", svg)
        self.assertIn("nothing to draw", charts.chart("t", "x", "y", [("a", [1], [float("nan")])]))


def rows(mode, aucs, **more):
    return [{"mode": mode, "seed": i + 1, "auc": a, "mse": 0.2, "auc_seen_lt10": a, "mse_seen_lt10": 0.2,
             "rows_peak": 300, "rows_ratio_peak": 0.3, **more} for i, a in enumerate(aucs)]


class Verdicts(unittest.TestCase):
    def answers(self, name, main, equal=()):
        return {t.what: t.answer for t in verdict.targets(name, main, list(equal))}

    def test_better_needs_a_significant_difference(self):
        default, table = rows("default", [0.7802, 0.7801, 0.7803]), rows("unique", [0.7770, 0.7772, 0.7771])
        got = self.answers("ml-100k", default + table)
        self.assertEqual(got["AUC at least that of the full table"], verdict.REACHED)
        self.assertEqual(got["AUC of IDs seen < 10 times better than the full table's"], verdict.REACHED)
        self.assertEqual(got["MSE of IDs seen < 10 times better than the full table's"], verdict.MISSED)
        one = self.answers("ml-100k", default[:1] + table[:1])
        self.assertEqual(one["AUC of IDs seen < 10 times better than the full table's"], verdict.MISSED)

    def test_worse_is_level_only_when_it_may_be_chance(self):
        table = rows("unique", [0.7770, 0.7772, 0.7771])
        level = self.answers("ml-100k", rows("default", [0.7760, 0.7775, 0.7772]) + table)
        missed = self.answers("ml-100k", rows("default", [0.7760, 0.7762, 0.7761]) + table)
        self.assertEqual(level["AUC at least that of the full table"], verdict.LEVEL)
        self.assertEqual(missed["AUC at least that of the full table"], verdict.MISSED)

    def test_rows_have_the_limit_of_their_stream(self):
        main = rows("default", [0.7, 0.71], rows_ratio_peak=0.4)
        for name, limit, answer in (("ml-100k", 50, verdict.REACHED), ("movietweetings-100k", 30, verdict.MISSED),
                                    ("un-votes", 60, verdict.REACHED), ("never-seen", 50, verdict.REACHED)):
            self.assertEqual(self.answers(name, main)[f"at most {limit} % of the full table's rows, at the peak"], answer)

    def test_what_was_not_run_is_said(self):
        got = self.answers("un-votes", rows("default", [0.7, 0.71]))
        self.assertEqual(sum(a == verdict.UNKNOWN for a in got.values()), len(got) - 1)

    def test_an_opponent_at_equal_memory_is_read_off_between_its_thresholds(self):
        equal = [(SimpleNamespace(point=p), dict(r, rows_peak=n)) for p, n, auc in ((1.0, 200, 0.70), (0.5, 400, 0.72))
                 for r in rows("rule", [auc, auc + 0.001])]
        got, how = verdict.at_equal_memory(rows("default", [0.7, 0.7]), equal, "rule")
        self.assertAlmostEqual(got[0]["auc"], 0.71)
        self.assertAlmostEqual(got[1]["auc"], 0.711)
        self.assertIn("between", how)


class Rankings(unittest.TestCase):
    """Each measure a second way: by its definition, pair by pair and place by place."""

    def cases(self):
        rng = random.Random(4)
        for _ in range(200):
            items = [f"i{i}" for i in range(rng.randint(1, 30))]
            wanted = set(rng.sample(items, rng.randint(1, len(items)))) | {f"new{i}" for i in range(rng.randint(0, 3))}
            yield rng.sample(items, len(items)), wanted, rng.choice((1, 3, 10, 50))

    def test_recall_and_ndcg_agree_with_their_definitions(self):
        for ranked, wanted, k in self.cases():
            found = [ranked[i] in wanted for i in range(min(k, len(ranked)))]
            self.assertAlmostEqual(ranking.recall_at(ranked, wanted, k), found.count(True) / len(wanted))
            gain = math.fsum(math.log(2) / math.log(i + 2) for i, hit in enumerate(found) if hit)
            best = sorted((i < len(wanted) for i in range(k)), reverse=True)
            ideal = math.fsum(math.log(2) / math.log(i + 2) for i, hit in enumerate(best) if hit)
            self.assertAlmostEqual(ranking.ndcg_at(ranked, wanted, k), gain / ideal)

    def test_the_best_order_has_an_ndcg_of_1_and_the_place_counts(self):
        self.assertEqual(ranking.ndcg_at(["a", "b", "x"], {"a", "b"}, 3), 1)
        self.assertEqual(ranking.ndcg_at(["a", "b"], {"a", "b", "c"}, 2), 1)
        self.assertAlmostEqual(ranking.ndcg_at(["x", "a"], {"a"}, 2), 1 / math.log2(3))
        self.assertEqual(ranking.ndcg_at(["x", "a"], {"a"}, 1), 0)
        self.assertEqual(ranking.recall_at(["a", "x"], {"a", "b"}, 2), 0.5)

    def test_auc_per_user_agrees_with_counting_pairs(self):
        rng = random.Random(5)
        events = [(rng.randrange(20), rng.randrange(8) / 8, rng.randrange(2)) for _ in range(300)] + [("one", 0.5, 1)]
        weighed, users = 0, {user for user, *_ in events}
        weight = counted = 0
        for user in users:
            mine = [(s, label) for u, s, label in events if u == user]
            pairs = [(p > n) + (p == n) / 2 for p, a in mine if a for n, b in mine if not b]
            if pairs:
                weighed, weight, counted = weighed + len(mine) * sum(pairs) / len(pairs), weight + len(mine), counted + 1
        got, n = ranking.auc_per_user(events)
        self.assertAlmostEqual(got, weighed / weight)
        self.assertEqual((n, counted), (counted, len(users) - 1))  # "one" has one label only
        self.assertEqual(ranking.auc_per_user([("u", 0.5, 1)]), (None, 0))

    def test_a_score_that_knows_users_only_has_no_auc_per_user(self):
        events = [(u, u / 10, i < u) for u in range(1, 10) for i in range(10)]
        self.assertGreater(ranking.auc([s for _, s, _ in events], [label for *_, label in events]), 0.7)
        self.assertEqual(ranking.auc_per_user(events)[0], 0.5)

    def test_normalised_entropy_is_1_for_the_mean_and_agrees_with_bits(self):
        labels = [1, 0, 0, 1, 0]
        self.assertAlmostEqual(ranking.normalised_entropy([0.4] * 5, labels), 1)
        scores = [0.9, 0.2, 0.4, 0.6, 0.1]
        bits = -sum(math.log2(abs(1 - label - s)) for s, label in zip(scores, labels)) / 5
        self.assertAlmostEqual(ranking.normalised_entropy(scores, labels),
                               bits / (0.4 * math.log2(2.5) + 0.6 * math.log2(5 / 3)))
        self.assertIsNone(ranking.normalised_entropy([0.5], [1]))
        self.assertTrue(math.isfinite(ranking.normalised_entropy([0.0, 1.0], [1, 0])))

    EVENTS = [("u", "a", 1, "1"), ("v", "b", 1, "2"), ("u", "c", 0, "3"), ("u", "d", 1, "3"),
              ("u", "a", 1, "4"), ("u", "b", 1, "5"), ("v", "a", 0, "6"), ("w", "new", 1, "7")]

    def test_no_time_is_on_both_sides_of_the_split(self):
        first, later = rankings.split(self.EVENTS, 3 / 8)
        self.assertEqual((len(first), len(later)), (4, 4))
        self.assertEqual(rankings.split(self.EVENTS, 1), (self.EVENTS, []))

    def test_what_a_user_had_is_not_wanted(self):
        had, wanted = rankings.next_positives(self.EVENTS[:4], self.EVENTS[4:])
        self.assertEqual(wanted, {"u": {"b"}, "w": {"new"}})
        self.assertEqual(had["u"], {"a", "c", "d"})
        self.assertEqual(rankings.most_popular(self.EVENTS[:4]), ["a", "b", "d"])

    def test_a_scorer_that_knows_the_future_has_the_best_figures(self):
        answers = {"u": ["b", "x"], "w": ["new", "b"]}
        scorer = SimpleNamespace(
            rank=lambda user, top, exclude: SimpleNamespace(items=[i for i in answers[user] if i not in exclude]),
            score=lambda user, items: SimpleNamespace(scores=[0.9 if i in ("a", "b", "new") else 0.1 for i in items]))
        got = rankings.measure(scorer, self.EVENTS[:4], self.EVENTS[4:], 10)
        self.assertEqual((got["users"], got["recall@10"], got["ndcg@10"], got["items_new"]), (2, 1, 1, 0.5))
        self.assertEqual((got["popular_recall@10"], got["popular_ndcg@10"]), (0.5, 0.5))
        self.assertEqual(rankings.evenly(list(range(10)), 5), [0, 2, 4, 6, 8])


class Lines(unittest.TextTestResult):
    """The lines that `make check` counts."""

    def addSuccess(self, test):
        print(f"ok {test._testMethodName}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"not ok {test._testMethodName}: {err[1]!r}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"not ok {test._testMethodName}: {err[1]}", flush=True)


if __name__ == "__main__":
    result = unittest.TextTestRunner(resultclass=Lines).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    sys.exit(not result.wasSuccessful())
