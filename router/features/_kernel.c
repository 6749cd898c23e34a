/* The inner loops of a decision, compiled. What each function computes, and why, says `kernel_numpy.py`, which has the same
 * functions in numpy; both give the same whole numbers to the bit, and a test compares them.
 *
 * Arguments are buffers of plain numbers in the machine's order of bytes. Their lengths, and the places that come with
 * each call, are checked: what does not fit raises ValueError. That the entries of an index point inside it is checked
 * once, where `model/novelty.py` builds it.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* As in kernel_numpy.py. */
enum { BITS = 18, RUN = 5, LONG = 8 };
enum { HALF = 1 << BITS, PLACES = 2 << BITS, SAMPLED = HALF + HALF / 2, WORDS = PLACES / 64 };
static const uint64_t PRIME = 0x9E3779B97F4A7C15u, BASE = 0x100000001B3u, PAIR = 0xC2B2AE3D27D4EB4Fu;
/* A table is larger than the caches that are near: how many entries ahead one is fetched. */
enum { AHEAD = 16 };
/* As in kernel_numpy.py. */
enum { IDF_BITS = 12, IDF_MASK = (1 << IDF_BITS) - 1, CLIP = 8 << 12 };

enum { DIMENSIONS = 24, LENGTH = 1 << 12, BLOCK = 64 };
/* Values of both heads, and beside them in the table of weights the squared idf. */
enum { HEADS = 2, COLUMNS = 3 };

enum { DIGIT = 1, UPPER = 2, SYMBOL = 4, LETTER = 8 };
static uint8_t kinds[256];

static void name_kinds(void) {
    for (int byte = 0; byte < 256; byte++) {
        int digit = byte >= '0' && byte <= '9', upper = byte >= 'A' && byte <= 'Z';
        int lower = byte >= 'a' && byte <= 'z';
        int space = byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31);
        kinds[byte] = (digit ? DIGIT : 0) | (upper ? UPPER : 0);
        if (byte > 127 || byte == '_' || digit || upper || lower) kinds[byte] |= LETTER;
        if (byte < 128 && !digit && !upper && !lower && !space) kinds[byte] |= SYMBOL;
    }
}

static void misfit(const char *what) { PyErr_Format(PyExc_ValueError, "%s does not fit the other tables", what); }

/* A set of small numbers, which gives them back sorted: one bit each. */
static inline void put(uint64_t *set, uint32_t number) { set[number >> 6] |= (uint64_t)1 << (number & 63); }
static inline int has(const uint64_t *set, uint32_t number) { return set[number >> 6] >> (number & 63) & 1; }

/* The places of a text, as a set, and which words of it are not zero: a text has few places. Between two texts all of it
 * is zero.
 */
static _Thread_local uint64_t found_places[WORDS], touched[WORDS / 64];

/* Puts the place of a hash; counts in `fresh` how many distinct ones there are below SAMPLED, and from it on. */
static inline void put_hash(uint64_t hash, uint32_t from, Py_ssize_t fresh[2]) {
    uint32_t place = from + (uint32_t)(hash * PRIME >> (64 - BITS));
    fresh[place >= SAMPLED] += !has(found_places, place);
    put(found_places, place);
    put(touched, place >> 6);
}

static PyObject *grams(PyObject *self, PyObject *plain) {
    Py_buffer text;
    if (PyObject_GetBuffer(plain, &text, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *found = NULL, *places;
    const uint8_t *data = text.buf;
    Py_ssize_t length = text.len, count = 0, longest = 0, many = 0, words, fresh[2] = {0};
    uint64_t before = 0;
    for (Py_ssize_t at = 0; at < length;) {
        Py_ssize_t start = at;
        uint64_t hash = data[at] * BASE;
        if (kinds[data[at++]] & LETTER)
            for (; at < length && kinds[data[at]] & LETTER; at++) hash = (hash + data[at]) * BASE;
        if (data[start] == ' ') continue;
        put_hash(hash, 0, fresh);
        if (count++) put_hash(before * PAIR + hash, 0, fresh);
        before = hash;
        if (at - start > longest) longest = at - start;
        many += at - start > LONG;
    }
    words = fresh[0];
    /* The runs of RUN bytes of the text between two spaces, each in the upper bytes of a number. */
    uint64_t run = (uint64_t)' ' << 56;
    const uint64_t upper = ~(uint64_t)0 << 8 * (8 - RUN);
    for (Py_ssize_t at = 0; at <= length; at++) {
        run = run >> 8 | (uint64_t)(at < length ? data[at] : ' ') << 56;
        if (at >= RUN - 2) put_hash(run & upper, HALF, fresh);
    }
    places = PyBytes_FromStringAndSize(NULL, (fresh[0] + fresh[1]) * (Py_ssize_t)sizeof(int64_t));
    int64_t *out = places ? (int64_t *)PyBytes_AsString(places) : NULL;
    for (uint32_t part = 0; part < WORDS / 64; part++)
        for (; touched[part]; touched[part] &= touched[part] - 1) {
            uint32_t word = 64 * part + (uint32_t)__builtin_ctzll(touched[part]);
            for (uint64_t bits = out ? found_places[word] : 0; bits; bits &= bits - 1)
                *out++ = 64 * (int64_t)word + __builtin_ctzll(bits);
            found_places[word] = 0;
        }
    if (places) found = Py_BuildValue("Nnnnnn", places, words, fresh[0], count, longest, many);
    PyBuffer_Release(&text);
    return found;
}

static PyObject *measure(PyObject *self, PyObject *written) {
    Py_buffer text;
    if (PyObject_GetBuffer(written, &text, PyBUF_SIMPLE) < 0) return NULL;
    const uint8_t *data = text.buf;
    Py_ssize_t of[256] = {0}, numbers = 0, digits = 0, upper = 0, symbols = 0;
    for (Py_ssize_t at = 0; at < text.len; at++) {
        of[data[at]]++;
        numbers += kinds[data[at]] & DIGIT && !(at && kinds[data[at - 1]] & DIGIT);
    }
    for (int byte = 0; byte < 128; byte++) {
        if (kinds[byte] & DIGIT) digits += of[byte];
        if (kinds[byte] & UPPER) upper += of[byte];
        if (kinds[byte] & SYMBOL) symbols += of[byte];
    }
    PyBuffer_Release(&text);
    return Py_BuildValue("nnnnnnnnnn", digits, upper, symbols, numbers, of['\n'], of['?'], of[','], of['.'],
                         of['$'] + of['\\'], of['_']);
}

static PyObject *weigh(PyObject *self, PyObject *args) {
    Py_buffer places, table;
    Py_ssize_t words;
    if (!PyArg_ParseTuple(args, "y*ny*", &places, &words, &table)) return NULL;
    const int64_t *place = places.buf;
    const int32_t (*rows)[COLUMNS] = table.buf;
    Py_ssize_t count = places.len / (Py_ssize_t)sizeof *place, limit = table.len / (Py_ssize_t)sizeof *rows;
    int64_t sums[2][COLUMNS] = {{0}};
    PyObject *found = NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(rows + place[at + AHEAD]);
        if ((uint64_t)place[at] >= (uint64_t)limit) {
            misfit("the table of weights");
            goto done;
        }
        int64_t *sum = sums[at >= words];
        for (int column = 0; column < COLUMNS; column++) sum[column] += rows[place[at]][column];
    }
    found = Py_BuildValue("LLLLLL", (long long)sums[0][0], (long long)sums[0][1], (long long)sums[0][2],
                          (long long)sums[1][0], (long long)sums[1][1], (long long)sums[1][2]);
done:
    PyBuffer_Release(&places);
    PyBuffer_Release(&table);
    return found;
}

static PyObject *vote(PyObject *self, PyObject *args) {
    Py_buffer shape, measures, thresholds, leaves, values;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*", &shape, &measures, &thresholds, &leaves, &values)) return NULL;
    const int64_t *of = shape.buf, *which = measures.buf, *above = thresholds.buf, *kept = leaves.buf;
    const int64_t (*value)[HEADS] = values.buf;
    Py_ssize_t wide = shape.len / 8, splits = measures.len / 8, all = values.len / (Py_ssize_t)sizeof *value;
    Py_ssize_t trees = all - splits, per = trees ? all / trees : 1;
    PyObject *found = NULL;
    uint64_t *left = NULL;
    /* One leaf more than splits in each tree. */
    if (trees < 0 || per * trees != all || thresholds.len != measures.len || leaves.len != measures.len) {
        misfit("the forest");
        goto done;
    }
    left = PyMem_Malloc((trees ? trees : 1) * sizeof *left);
    if (!left) {
        PyErr_NoMemory();
        goto done;
    }
    memset(left, 0xFF, trees * sizeof *left);
    for (Py_ssize_t split = 0; split < splits; split += trees)
        for (Py_ssize_t tree = 0; tree < trees; tree++) {
            if ((uint64_t)which[split + tree] >= (uint64_t)wide) {
                misfit("the forest");
                goto done;
            }
            left[tree] &= of[which[split + tree]] > above[split + tree] ? (uint64_t)kept[split + tree] : ~(uint64_t)0;
        }
    int64_t sums[HEADS] = {0};
    for (Py_ssize_t tree = 0; tree < trees; tree++) {
        Py_ssize_t leaf = left[tree] ? __builtin_ctzll(left[tree]) : per;
        if (leaf >= per) {
            misfit("the forest");
            goto done;
        }
        for (int head = 0; head < HEADS; head++) sums[head] += value[tree * per + leaf][head];
    }
    found = Py_BuildValue("LL", (long long)sums[0], (long long)sums[1]);
done:
    PyMem_Free(left);
    PyBuffer_Release(&shape);
    PyBuffer_Release(&measures);
    PyBuffer_Release(&thresholds);
    PyBuffer_Release(&leaves);
    PyBuffer_Release(&values);
    return found;
}

static PyObject *distance(PyObject *self, PyObject *args) {
    Py_buffer shape, mean, scale, whiten;
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &shape, &mean, &scale, &whiten)) return NULL;
    const int64_t *of = shape.buf, *middle = mean.buf, *rows = whiten.buf;
    const double *factor = scale.buf;
    int64_t standard[64], wide = shape.len / 8, sum = 0;
    PyObject *found = NULL;
    if (wide > 64 || mean.len != shape.len || scale.len != shape.len || whiten.len != 8 * wide * wide) {
        misfit("the table of measures");
        goto done;
    }
    for (int64_t at = 0; at < wide; at++) {
        double value = (double)(of[at] - middle[at]) * factor[at];
        standard[at] = (int64_t)rint(value > CLIP ? CLIP : value < -CLIP ? -CLIP : value);
    }
    for (int64_t row = 0; row < wide; row++) {
        int64_t product = 0;
        for (int64_t at = 0; at < wide; at++) product += rows[row * wide + at] * standard[at];
        product >>= 16;
        sum += product * product;
    }
    found = PyLong_FromLongLong(sum);
done:
    PyBuffer_Release(&shape);
    PyBuffer_Release(&mean);
    PyBuffer_Release(&scale);
    PyBuffer_Release(&whiten);
    return found;
}

/* The `most` largest of what is offered, the least of them first; -1 stands for none. */
static inline void offer(int64_t *best, Py_ssize_t most, int64_t key) {
    if (key <= best[0]) return;
    Py_ssize_t at = 0;
    for (; at + 1 < most && best[at + 1] < key; at++) best[at] = best[at + 1];
    best[at] = key;
}

/* How many texts can be asked for. A row has two entries or more: 1,500 entries are of fewer rows than TAKEN. */
enum { MOST = 64, TAKEN = 1024 };

/* The texts that have most of the rows in `set` in common, as far as `postings` entries of the index tell. */
static int candidates(const uint64_t *set, uint32_t rows, int unlisted, const uint32_t *starts, const uint16_t *owners,
                      const int64_t *inverse, Py_ssize_t texts, Py_ssize_t postings, Py_ssize_t most, int64_t *best) {
    /* How many rows a text has in common, at most TAKEN, and behind that the texts that have any. */
    uint16_t *shared = PyMem_Malloc(2 * texts * sizeof *shared + 1);
    if (!shared) {
        PyErr_NoMemory();
        return -1;
    }
    uint16_t *some = shared + texts;
    memset(shared, 0, texts * sizeof *shared);
    Py_ssize_t any = 0;
    /* Which rows are read is known before any entry is: their places in memory are fetched meanwhile. */
    uint32_t taken[TAKEN], count = 0;
    Py_ssize_t seen = 0;
    for (uint32_t word = 0; word <= rows / 64 && count < TAKEN; word++)
        for (uint64_t bits = set[word]; bits; bits &= bits - 1) {
            uint32_t row = 64 * word + (uint32_t)__builtin_ctzll(bits);
            seen += starts[row + 1] - starts[row];
            /* The first of them is read in any case, unless it was one without a row. */
            if (seen > postings && (count || unlisted)) goto known;
            __builtin_prefetch(owners + starts[row]);
            taken[count++] = row;
            if (seen > postings || count == TAKEN) goto known;
        }
known:
    for (uint32_t at = 0; at < count; at++)
        for (uint32_t entry = starts[taken[at]]; entry < starts[taken[at] + 1]; entry++)
            if (!shared[owners[entry]]++) some[any++] = owners[entry];
    for (Py_ssize_t at = 0; at < most; at++) best[at] = -1;
    /* Where fewer have any than are asked for, those that have none fill up. */
    for (Py_ssize_t at = 0; at < (any < most ? texts : any); at++) {
        Py_ssize_t text = any < most ? at : some[at];
        offer(best, most, (int64_t)shared[text] * inverse[text] | text);
    }
    PyMem_Free(shared);
    return any > 0;
}

static PyObject *nearest(PyObject *self, PyObject *args) {
    Py_buffer places, known, starts, owners, held, ends, squares, inverse;
    Py_ssize_t words, postings, most;
    if (!PyArg_ParseTuple(args, "y*n(y*y*y*y*y*y*y*)nn", &places, &words, &known, &starts, &owners, &held, &ends,
                          &squares, &inverse, &postings, &most))
        return NULL;
    const int64_t *place = places.buf;
    const uint32_t *of = known.buf, *start = starts.buf, *rows_of = held.buf, *end = ends.buf, *square = squares.buf;
    Py_ssize_t count = places.len / 8, limit = known.len / 4, rows = squares.len / 4, texts = inverse.len / 8;
    PyObject *near = NULL, *found = NULL;
    uint64_t *set = PyMem_Calloc(rows / 64 + 1, sizeof *set);
    if (!set) {
        PyErr_NoMemory();
        goto done;
    }
    if (most < 1 || most > MOST || postings > 2 * TAKEN || rows < 1 || texts > 1 << 16 ||
        starts.len != 4 * (rows + 1) || ends.len != 4 * (texts + 1) || start[rows] != owners.len / 2 ||
        end[texts] != held.len / 4) {
        misfit("the index");
        goto done;
    }
    int64_t norm = 0, idf = 0;
    int unlisted = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(of + place[at + AHEAD]);
        if ((uint64_t)place[at] >= (uint64_t)limit || of[place[at]] >> IDF_BITS >= rows) {
            misfit("the index");
            goto done;
        }
        int64_t weight = of[place[at]] & IDF_MASK;
        uint32_t row = of[place[at]] >> IDF_BITS;
        norm += weight * weight;
        if (at < words) idf += weight;
        if (row) put(set, row);
        unlisted |= !row;
    }
    near = PyList_New(0);
    if (!near) goto done;
    int64_t best[MOST];
    int any = candidates(set, (uint32_t)rows - 1, unlisted, start, owners.buf, inverse.buf, texts, postings, most, best);
    if (any < 0) goto done;
    for (Py_ssize_t at = 0; any && at < most; at++) {
        if (best[at] < 0) continue;
        int64_t text = best[at] & 0xFFFF, common = 0;
        for (uint32_t entry = end[text]; entry < end[text + 1]; entry++)
            if (has(set, rows_of[entry])) common += square[rows_of[entry]];
        PyObject *pair = Py_BuildValue("LL", (long long)text, (long long)common);
        int bad = !pair || PyList_Append(near, pair) < 0;
        Py_XDECREF(pair);
        if (bad) goto done;
    }
    found = Py_BuildValue("LLO", (long long)norm, (long long)idf, near);
done:
    Py_XDECREF(near);
    PyMem_Free(set);
    PyBuffer_Release(&places);
    PyBuffer_Release(&known);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&owners);
    PyBuffer_Release(&held);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&squares);
    PyBuffer_Release(&inverse);
    return found;
}

static PyObject *locate(PyObject *self, PyObject *args) {
    Py_buffer places, row_of, table;
    if (!PyArg_ParseTuple(args, "y*y*y*", &places, &row_of, &table)) return NULL;
    const int64_t *place = places.buf;
    const uint16_t *row = row_of.buf;
    const int16_t (*of)[DIMENSIONS] = table.buf;
    Py_ssize_t count = places.len / 8, limit = row_of.len / 2, rows = table.len / (Py_ssize_t)sizeof *of;
    /* At most 2**16 rows differ, so that the sum of 16 bits each fits. */
    int32_t sum[DIMENSIONS] = {0};
    int16_t point[DIMENSIONS] = {0};
    int64_t squared = 0;
    PyObject *found = NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(row + place[at + AHEAD]);
        if ((uint64_t)place[at] >= (uint64_t)limit || row[place[at]] >= rows) {
            misfit("the table of the latent space");
            goto done;
        }
        const int16_t *own = of[row[place[at]]];
        for (int axis = 0; axis < DIMENSIONS; axis++) sum[axis] += own[axis];
    }
    for (int axis = 0; axis < DIMENSIONS; axis++) squared += (int64_t)sum[axis] * sum[axis];
    if (squared) {
        double scale = LENGTH / sqrt((double)squared);
        for (int axis = 0; axis < DIMENSIONS; axis++) point[axis] = (int16_t)rint(sum[axis] * scale);
    }
    found = PyBytes_FromStringAndSize((const char *)point, sizeof point);
done:
    PyBuffer_Release(&places);
    PyBuffer_Release(&row_of);
    PyBuffer_Release(&table);
    return found;
}

/* Where the compiler can, also compiled for processors with wider registers; the loader chooses. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_WIDER __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FOR_WIDER
#endif

/* Loops over the voters of a block that need no order, so that many are taken at once. */
FOR_WIDER static void poll_block(const int16_t one[DIMENSIONS], const int16_t points[DIMENSIONS][BLOCK],
                                 const int32_t opinions[HEADS][BLOCK], uint64_t said[HEADS], int64_t *total) {
    /* Numbers that are shifted are not to be negative: of those, wide registers have no arithmetic shift. */
    const int64_t bias = (int64_t)1 << 62;
    int32_t weight[BLOCK] = {0};
    int64_t sum = 0;
    for (int axis = 0; axis < DIMENSIONS; axis++)
        for (int at = 0; at < BLOCK; at++) weight[at] += (int32_t)one[axis] * points[axis][at];
    for (int at = 0; at < BLOCK; at++) {
        int32_t cosine = weight[at] < LENGTH * LENGTH ? weight[at] : LENGTH * LENGTH - 1;
        weight[at] = cosine <= LENGTH * LENGTH / 4 ? 0 : cosine;
    }
    /* Each step is exact or rounded once, as IEEE 754 has it: all processors agree. In a loop of its own, and without
       one inside, compilers take many at once. */
    for (int at = 0; at < BLOCK; at++) {
        float power = (float)weight[at] * (1.0f / (LENGTH * LENGTH));
        power *= power, power *= power, power *= power, power *= power;
        weight[at] = (int32_t)(power * 2147483648.0f);
    }
    for (int head = 0; head < HEADS; head++) {
        uint64_t of = 0;
        for (int at = 0; at < BLOCK; at++)
            of += (uint64_t)((int64_t)weight[at] * opinions[head][at] + bias) >> 16;
        said[head] += of - BLOCK * (uint64_t)(bias >> 16);
    }
    for (int at = 0; at < BLOCK; at++) sum += weight[at];
    *total += sum;
}

static PyObject *poll(PyObject *self, PyObject *args) {
    Py_buffer point, points, opinions;
    if (!PyArg_ParseTuple(args, "y*y*y*", &point, &points, &opinions)) return NULL;
    const int16_t *one = point.buf, (*every)[DIMENSIONS][BLOCK] = points.buf;
    const int32_t (*opinion)[HEADS][BLOCK] = opinions.buf;
    Py_ssize_t count = points.len / (Py_ssize_t)sizeof *every;
    uint64_t said[HEADS] = {0};
    int64_t total = 0;
    PyObject *found = NULL;
    if (point.len != DIMENSIONS * (Py_ssize_t)sizeof *one || points.len != count * (Py_ssize_t)sizeof *every ||
        opinions.len != count * (Py_ssize_t)sizeof *opinion) {
        misfit("the votes");
        goto done;
    }
    for (Py_ssize_t at = 0; at < count; at++) poll_block(one, every[at], opinion[at], said, &total);
    found = Py_BuildValue("LLL", (long long)said[0], (long long)said[1], (long long)total);
done:
    PyBuffer_Release(&point);
    PyBuffer_Release(&points);
    PyBuffer_Release(&opinions);
    return found;
}

static PyMethodDef methods[] = {
    {"grams", grams, METH_O, NULL},          {"measure", measure, METH_O, NULL},
    {"weigh", weigh, METH_VARARGS, NULL},    {"vote", vote, METH_VARARGS, NULL},
    {"distance", distance, METH_VARARGS, NULL}, {"nearest", nearest, METH_VARARGS, NULL},
    {"locate", locate, METH_VARARGS, NULL},  {"poll", poll, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernel", "The inner loops of a decision; see kernel_numpy.py.", 0, methods, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) {
    name_kinds();
    return PyModule_Create(&module);
}
