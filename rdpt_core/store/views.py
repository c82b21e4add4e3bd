"""Views of the catalogue that answer common questions, and the macros that compare sentences.

They stand in schema `main`, over all experiments of the workspace; the first columns say which
experiment and configuration (`name`) a row belongs to. `docs/tutorials/sql.md` shows each in use.
Several read whole tables, so filter by `experiment` and `name`.
"""

from __future__ import annotations

WORDS = """
CREATE MACRO main.words(sentence) AS
    regexp_extract_all(lower(sentence), '[\\p{L}\\p{N}]+|[^\\s\\p{L}\\p{N}]');
CREATE MACRO main.trigrams(sentence) AS list_transform([main.words(sentence)], lambda w:
    CASE WHEN len(w) = 0 THEN []::VARCHAR[] ELSE list_distinct(list_transform(
        range(1, greatest(len(w) - 1, 2)),
        lambda i: w[i] || ' ' || coalesce(w[i + 1], '') || ' ' || coalesce(w[i + 2], '')))
    END)[1];
CREATE MACRO main.jaccard(one, other) AS list_transform([[one, other]], lambda pair:
    CASE WHEN len(pair[1]) + len(pair[2]) = 0 THEN 0.0
    ELSE len(list_intersect(pair[1], pair[2]))
         / (len(pair[1]) + len(pair[2]) - len(list_intersect(pair[1], pair[2]))) END)[1];
CREATE MACRO main.similarity(one, other) AS
    main.jaccard(main.trigrams(one), main.trigrams(other));
"""
"""A word is a run of letters and digits, or any other mark, in lower case. The similarity of two
sentences is the Jaccard index of their sets of three consecutive words: 1 for the same words in the
same order, 0 without three in common. A sentence of one or two words is one gram. A macro's
argument is computed wherever it stands, so lists of one element bind those that are used often."""

USES = """
CREATE VIEW main.uses AS
    SELECT DISTINCT configuration, experiment, name, side, benchmark, coalesce(benchmark, '')
        AS place, role, "table", part
    FROM main.parts JOIN main.configurations USING (configuration);
"""
"""The parts of each configuration, under its names."""

SENTENCES = """
CREATE VIEW main.labelled_sentences AS
    WITH labels AS (
        SELECT uses.*, rows.* EXCLUDE (part) FROM main.uses JOIN main.provenance AS rows
        USING (part) WHERE "table" = 'provenance'),
    spans AS (
        SELECT configuration, side, place, trace_id, position, start, stop, zone FROM main.uses
        JOIN main.sentences USING (part) WHERE "table" = 'sentences'),
    texts AS (
        SELECT configuration, side, place, trace_id, encode(text) AS bytes FROM main.uses
        JOIN main.traces USING (part) WHERE "table" = 'traces')
    SELECT experiment, name, side, benchmark, trace_id, position, zone, label, direction, margin,
        undetermined, p_teacher, p_student, p_distilled, p_teacher - p_student AS advantage,
        reason, decode(bytes[start + 1:stop]) AS sentence, configuration
    FROM labels JOIN spans USING (configuration, side, place, trace_id, position)
    JOIN texts USING (configuration, side, place, trace_id);
CREATE VIEW main.class_by_position AS
    SELECT experiment, name, side, benchmark, least(position, 5) AS position, label,
        count(*) AS sentences
    FROM main.uses JOIN main.provenance USING (part)
    WHERE "table" = 'provenance' AND label IS NOT NULL GROUP BY ALL;
CREATE VIEW main.missing_labels AS
    SELECT experiment, name, side, benchmark, reason, count(*) AS sentences
    FROM main.uses JOIN main.provenance USING (part)
    WHERE "table" = 'provenance' AND label IS NULL GROUP BY ALL;
CREATE VIEW main.count_and_length AS
    WITH counts AS (
        SELECT experiment, name, trace_id, count(*) AS sentences,
            count(*) FILTER (label = 'teacher') AS teacher
        FROM main.uses JOIN main.provenance USING (part)
        WHERE "table" = 'provenance' AND side = 'train' GROUP BY ALL)
    SELECT experiment, name, corr(teacher, sentences) AS correlation, count(*) AS traces
    FROM counts GROUP BY ALL;
"""

RESULTS = """
CREATE VIEW main.accuracy AS
    SELECT experiment, name, benchmark, value AS accuracy, low, high, n FROM main.results
    WHERE metric = 'accuracy' AND side = 'test';
CREATE VIEW main.pool_reasons AS
    SELECT experiment, name, reason, count(*) AS traces FROM main.uses JOIN main.pool USING (part)
    WHERE "table" = 'pool' GROUP BY ALL;
CREATE VIEW main.losses AS
    SELECT experiment, name, student, step, loss, learning_rate, tokens_seen FROM main.uses
    JOIN main.students USING (part) WHERE "table" = 'students';
CREATE VIEW main.seconds_by_table AS
    WITH once AS (
        SELECT DISTINCT experiment, "table", part, seconds, num_rows FROM main.parts
        JOIN main.configurations USING (configuration))
    SELECT experiment, "table", sum(seconds) AS seconds, sum(num_rows) AS rows FROM once
    GROUP BY ALL;
CREATE VIEW main.answers AS
    WITH texts AS (
        SELECT uses.*, rows.* EXCLUDE (part) FROM main.uses JOIN main.traces AS rows USING (part)
        WHERE "table" = 'traces' AND side = 'test'),
    verdicts AS (
        SELECT configuration, place, trace_id, outcome, extracted FROM main.uses
        JOIN main.grades USING (part) WHERE "table" = 'grades' AND side = 'test'),
    questions AS (
        SELECT configuration, place, problem_id, domain, prompt, answer FROM main.uses
        JOIN main.problems USING (part) WHERE "table" = 'problems' AND side = 'test')
    SELECT experiment, name, benchmark, trace_id, problem_id, sample_index, outcome, extracted,
        answer AS gold, finish_reason, domain, prompt, text, configuration
    FROM texts JOIN verdicts USING (configuration, place, trace_id)
    JOIN questions USING (configuration, place, problem_id);
CREATE VIEW main.flipped_questions AS
    SELECT one.experiment, one.benchmark, one.name, other.name AS other_name, problem_id,
        sample_index, one.outcome, other.outcome AS other_outcome, one.trace_id,
        other.trace_id AS other_trace_id
    FROM main.answers AS one
    JOIN main.answers AS other USING (experiment, benchmark, problem_id, sample_index)
    WHERE one.outcome <> other.outcome;
"""

LINEAGE = """
CREATE VIEW main.training_traces AS
    WITH texts AS (
        SELECT configuration, trace_id, problem_id FROM main.uses JOIN main.traces USING (part)
        WHERE "table" = 'traces' AND side = 'train'),
    candidates AS (
        SELECT configuration, problem_id, count(*) AS candidates,
            count(*) FILTER (eligible) AS eligible
        FROM main.uses JOIN main.pool USING (part) JOIN texts USING (configuration, trace_id)
        WHERE "table" = 'pool' GROUP BY ALL),
    labels AS (
        SELECT configuration, trace_id, count(*) AS sentences,
            count(*) FILTER (label = 'teacher') AS teacher,
            count(*) FILTER (label = 'student') AS student,
            count(*) FILTER (label = 'common') AS common
        FROM main.uses JOIN main.provenance USING (part)
        WHERE "table" = 'provenance' AND side = 'train' GROUP BY ALL)
    SELECT experiment, name, trace_id, problem_id, rank, merit, num_tokens, candidates, eligible,
        sentences, teacher, student, common, configuration
    FROM main.uses JOIN main.selection USING (part)
    JOIN texts USING (configuration, trace_id) JOIN candidates USING (configuration, problem_id)
    JOIN labels USING (configuration, trace_id) WHERE "table" = 'selection';
CREATE VIEW main.training_sentences AS
    SELECT found.* FROM main.labelled_sentences AS found
    JOIN main.training_traces USING (configuration, trace_id) WHERE side = 'train';
CREATE VIEW main.lineage AS
    SELECT experiment, name, benchmark, answers.trace_id, answers.problem_id, outcome,
        learnt.trace_id AS learnt_trace_id, learnt.problem_id AS learnt_problem_id, rank, merit,
        num_tokens, candidates, eligible, sentences, teacher, student, common, configuration
    FROM main.answers JOIN main.training_traces AS learnt
    USING (configuration, experiment, name);
CREATE MACRO main.nearest_sentences(answer_id, number, most) AS TABLE
    WITH asked AS (
        SELECT experiment, name, configuration, main.trigrams(sentence) AS asked_grams
        FROM main.labelled_sentences
        WHERE trace_id = answer_id AND position = number AND side = 'test')
    SELECT experiment, name, main.jaccard(asked_grams, main.trigrams(sentence)) AS similarity,
        trace_id, position, label, p_teacher, p_student, sentence
    FROM main.training_sentences JOIN asked USING (experiment, name, configuration)
    ORDER BY similarity DESC, trace_id, position LIMIT most;
"""
"""From an evaluated answer to the traces that trained its student. What is nearest in words need
not be what a sentence was learnt from."""

VIEWS = (
    "uses",
    "labelled_sentences",
    "class_by_position",
    "missing_labels",
    "count_and_length",
    "accuracy",
    "pool_reasons",
    "losses",
    "seconds_by_table",
    "answers",
    "flipped_questions",
    "training_traces",
    "training_sentences",
    "lineage",
)
CREATE = WORDS + USES + SENTENCES + RESULTS + LINEAGE
"""All of them, in an order in which each knows those that it names."""
