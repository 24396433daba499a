"""Read exported results with lm-evaluation-harness: lm_eval.py DIR JOURNALS

DIR/results.json and DIR/lm-eval/MODEL/* are what the program exported; JOURNALS holds the journals they come from. The
values of the table are computed here once more, from the journals alone.
"""
import collections
import glob
import json
import math
import os
import sys

import datasets
from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker
from lm_eval.result_schema import EvalResults
from lm_eval.utils import (get_file_datetime, get_file_task_name, get_results_filenames,
                           get_sample_results_filenames, hash_string, make_table)

MEANS = {'passkey': ['token_accuracy', 'exact_match', 'first_integer', 'answer_nll']}
SAMPLE = {'doc_id', 'doc', 'target', 'arguments', 'resps', 'filtered_resps', 'filter', 'metrics', 'doc_hash',
          'prompt_hash', 'target_hash'}


def journal_means(path):
    """(weights, settings, cell, metric) -> the mean over the samples that were asked for."""
    cells, samples, means = {}, collections.defaultdict(dict), {}
    for line in open(path, encoding='utf-8'):
        record = json.loads(line)
        if record['kind'] == 'cell':
            asked = max(record['asked'], cells.get(record['key'], ({}, 0))[1])
            cells[record['key']] = (record, asked)
        else:
            samples[record['cell_key']].setdefault(record['index'], record['values'])
    for key, (cell, asked) in cells.items():
        if not all(i in samples[key] for i in range(asked)):
            continue
        for metric in MEANS[cell['task']]:
            values = [samples[key][i][metric] for i in range(asked)]
            means[cell['weights'], cell['settings'], cell['cell'], metric] = sum(values) / asked
    return means


def table_rows(text):
    """(task, metric) -> (version, n-shot, value, stderr) of the Markdown that make_table prints."""
    rows, task, version = {}, '', ''
    for line in text.strip().split('\n')[2:]:
        field = [part.strip() for part in line.strip().strip('|').split('|')]
        task, version = (field[0].lstrip('- '), field[1]) if field[0] else (task, version)
        rows[task, field[4]] = (version, field[3], field[6], field[8])
    return rows


def check_model(folder, means):
    """Check the files of one model. Returns how many values of its table were found in the journals."""
    files = glob.glob(folder + '/*')
    (path,) = get_results_filenames(files)
    results = json.load(open(path, encoding='utf-8'))
    unknown = set(results) - set(EvalResults.__annotations__) - {'intervals', 'palimpsest_version'}
    assert not unknown, unknown
    name = GeneralConfigTracker._get_model_name(results['config']['model_args'])
    assert name == results['model_name'] and results['model_name_sanitized'] == os.path.basename(folder)
    printed, found = table_rows(make_table(results)), 0
    for task, values in results['results'].items():
        config = results['configs'][task]
        assert results['n-shot'][task] == 0 and results['versions'][task] == config['metadata']['version']
        assert values['sample_len'] == results['n-samples'][task]['effective'] > 0
        for metric in results['higher_is_better'][task]:
            version, shots, value, stderr = printed[task, metric]
            assert (version, shots, value) == (str(results['versions'][task]), '0', f"{values[metric + ',none']:.4f}")
            error = values[metric + '_stderr,none']
            assert stderr == ('N/A' if error == 'N/A' else f'{error:.4f}')
            own = means.get((config['weights_sha256'], config['settings'], config['cell'], metric))
            if own is not None:
                assert f'{own:.4f}' == value, (task, metric, own, value)
                found += 1
    check_samples(files, results)
    return found


def check_samples(files, results):
    """One file of samples for each task, named so that its functions find task and date in the name."""
    logs = {get_file_task_name(os.path.basename(f)): f for f in get_sample_results_filenames(files)}
    assert set(logs) == set(results['results']), set(logs) ^ set(results['results'])
    for task, path in logs.items():
        assert get_file_datetime(os.path.basename(path)) == '1970-01-01T00-00-00.000000'
        lines = [json.loads(line) for line in open(path, encoding='utf-8')]
        assert [line['doc_id'] for line in lines] == list(range(results['results'][task]['sample_len']))
        assert all(SAMPLE <= set(line) for line in lines), path
        hashes = ''.join(line['doc_hash'] + line['prompt_hash'] + line['target_hash'] for line in lines)
        assert results['task_hashes'][task] == hash_string(hashes), task
        for metric in MEANS.get(results['configs'][task]['tag'], []):
            mean = sum(line[metric] for line in lines) / len(lines)
            assert math.isclose(mean, results['results'][task][metric + ',none'], abs_tol=1e-9), (task, metric)


def check_loading(folder):
    """The library that its tools read samples with."""
    for path in sorted(get_sample_results_filenames(glob.glob(folder + '/*')))[:2]:
        loaded = datasets.load_dataset('json', data_files=path, split='train')
        assert len(loaded) == sum(1 for _ in open(path, encoding='utf-8')), path


def main(directory, journals):
    means = journal_means(journals + '/passkey-journal.jsonl')
    folders = sorted(glob.glob(directory + '/lm-eval/*'))
    found = sum(check_model(folder, means) for folder in folders)
    assert found > 1000, f'only {found} values of the journals were found in the tables'
    datasets.disable_progress_bars()
    for name in ('passkey-infini-linear', 'text-local', 'booksum-infini-delta'):
        check_loading(f'{directory}/lm-eval/{name}')
    summary = json.load(open(directory + '/results.json', encoding='utf-8'))
    assert len(table_rows(make_table(dict(summary, results=dict(list(summary['results'].items())[:20]))))) > 20
    print(make_table(json.load(open(glob.glob(directory + '/lm-eval/passkey-infini-next-overlap/results_*')[0],
                                    encoding='utf-8')))[:1200])
    print(f"lm_eval: {len(folders)} models, {len(summary['results'])} cells, {found} values of its tables computed "
          'again from the journals')


main(*sys.argv[1:])
