/* What a reader can do with the page: filter rows, sort columns, open the samples of a cell, enlarge a picture.
 * Without this script every table and picture is still there; only the samples are not shown. */
'use strict';
(() => {
    const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
    const make = (name, text, kind) => {
        const element = document.createElement(name);
        if (text !== undefined) element.textContent = text;
        if (kind) element.className = kind;
        return element;
    };

    /* ---- Filter ---- */

    const box = document.getElementById('filter');
    const found = document.getElementById('found');
    const rows = all('table.data > tbody > tr').map((row) => ({ row, text: row.textContent.toLowerCase() }));
    const claims = all('.claim').map((row) => ({ row, text: row.textContent.toLowerCase() }));

    function filter() {
        const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        all('tr.drill').forEach((row) => row.remove());
        all('button[aria-expanded=true]').forEach((button) => button.setAttribute('aria-expanded', 'false'));
        for (const { row, text } of rows.concat(claims)) {
            row.hidden = !words.every((word) => text.includes(word));
            shown += row.hidden ? 0 : 1;
        }
        for (const table of all('table.data')) {
            const left = all(':scope > tbody > tr', table).some((row) => !row.hidden);
            table.closest('.wide').classList.toggle('nothing', !left);
            const fold = table.closest('details');
            if (fold) fold.open = words.length > 0 && left;
        }
        found.textContent = words.length ? `${shown} of ${rows.length + claims.length} rows` : '';
    }

    /* ---- Sort ---- */

    const unit = { K: 1024, M: 1048576, G: 1073741824, KiB: 1024, MiB: 1048576, GiB: 1073741824 };

    /* The number that a field begins with: "1,053,456", "64.0 KiB", "32K", "95.0 [75.1, 99.9]"; NaN: none. */
    function number(text) {
        const match = /^([-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*([KMG]i?B?)?/.exec(text.trim());
        return match ? Number(match[1].replace(/,/g, '')) * (unit[match[2]] || 1) : NaN;
    }

    function sort(table, column, direction) {
        const body = table.tBodies[0];
        all('tr.drill', body).forEach((row) => row.remove());
        all('button[aria-expanded=true]', body).forEach((b) => b.setAttribute('aria-expanded', 'false'));
        if (!table.original) table.original = all(':scope > tr', table.tBodies[0]);
        const field = (row) => row.cells[column].textContent;
        const numeric = table.original.every((row) => field(row).trim() === '' || !Number.isNaN(number(field(row))));
        const order = (a, b) => {
            const x = field(a), y = field(b);
            if (!numeric) return direction * x.localeCompare(y, 'en', { numeric: true });
            if (x.trim() === '' || y.trim() === '') return (x.trim() === '') - (y.trim() === '');
            return direction * (number(x) - number(y));
        };
        body.append(...(direction ? table.original.slice().sort(order) : table.original));
        table.classList.toggle('sorted', direction !== 0);
    }

    /* Up, down, and back to the order of the page. */
    function sortBy(event) {
        const head = event.currentTarget.parentElement;
        const next = { none: 'ascending', ascending: 'descending', descending: 'none' };
        const order = next[head.getAttribute('aria-sort') || 'none'];
        for (const other of head.parentElement.cells) other.removeAttribute('aria-sort');
        if (order !== 'none') head.setAttribute('aria-sort', order);
        sort(head.closest('table'), head.cellIndex, { none: 0, ascending: 1, descending: -1 }[order]);
    }

    for (const head of all('table.data > thead th')) {
        const button = make('button', undefined, 'sort');
        button.type = 'button';
        button.title = 'Sort by this column';
        button.append(...head.childNodes);
        button.addEventListener('click', sortBy);
        head.append(button);
    }

    /* ---- Samples ---- */

    const parsed = {};
    async function unpack(task) {
        const packed = atob(document.getElementById(`samples-${task}`).textContent);
        const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
        const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
        return JSON.parse(await new Response(text).text());
    }

    function block(task) {
        if (!parsed[task]) parsed[task] = unpack(task);
        return parsed[task];
    }

    function sampleTable(samples, cell) {
        const table = make('table'), head = table.createTHead().insertRow(), body = table.createTBody();
        for (const name of ['sample', ...samples.columns]) head.append(make('th', name.replace(/_/g, ' ')));
        for (const sample of cell.samples) {
            const row = body.insertRow();
            for (const value of sample)
                row.append(make('td', value === null ? '' : value, typeof value === 'number' ? 'n' : 'text'));
        }
        return table;
    }

    async function drill(event) {
        const button = event.currentTarget, row = button.closest('tr');
        const open = button.getAttribute('aria-expanded') === 'true';
        button.setAttribute('aria-expanded', String(!open));
        if (open) {
            row.nextElementSibling.remove();
            return;
        }
        const field = make('td'), inner = make('div', undefined, 'inner'), below = make('tr', undefined, 'drill');
        field.colSpan = row.cells.length;
        field.append(inner);
        below.append(field);
        row.after(below);
        const samples = await block(button.dataset.task).catch(() => null);
        if (!samples) {
            inner.append(make('p', 'This browser cannot unpack the samples; the journal has them.'));
            return;
        }
        const cell = samples.cells[button.dataset.cell];
        const prompt = make('p', 'The prompt of a sample, by its number: '), again = make('p', 'All of them again: ');
        prompt.append(make('code', cell.show));
        again.append(make('code', row.querySelector('.command code').textContent));
        inner.append(prompt, again, sampleTable(samples, cell));
        if (cell.left > 0) inner.append(make('p', `${cell.left} more samples are in the journal.`));
    }

    for (const button of all('button.samples')) button.addEventListener('click', drill);

    /* ---- Pictures on a narrow screen ---- */

    for (const canvas of all('.canvas'))
        canvas.addEventListener('click', () => canvas.classList.toggle('large'));

    /* ---- Links into the page: #filter=WORDS, and #cell-TASK-NUMBER with its samples ---- */

    function follow() {
        const target = decodeURIComponent(location.hash.slice(1));
        if (target.startsWith('filter=')) {
            box.value = target.slice(7);
            filter();
            return;
        }
        const place = target && document.getElementById(target);
        if (!place) return;
        for (let fold = place.closest('details'); fold; fold = fold.parentElement.closest('details'))
            fold.open = true;
        const button = place.querySelector('button.samples[aria-expanded=false]');
        if (button) button.click();
        place.scrollIntoView();
    }

    box.closest('form').hidden = false;
    box.addEventListener('input', filter);
    box.closest('form').addEventListener('submit', (event) => event.preventDefault());
    addEventListener('hashchange', follow);
    follow();
})();
