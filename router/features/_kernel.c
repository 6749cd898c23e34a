/* The inner loops of a decision, compiled. `kernel_numpy.py` has the same functions in numpy and documents what each
 * computes and why; both give the same whole numbers to the bit, and a test compares them.
 *
 * Arguments are buffers of numbers in native byte order. Everything that says where memory is read or written is checked
 * in each call, and ValueError raised where it does not fit: `model/checks.py` refuses such tables when they are loaded,
 * and a fault there must not become one of memory. Sums wrap as numpy's do.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* As in kernel_numpy.py. */
enum { BITS = 18, BYTE_NGRAM = 5, LONG_WORD = 8 };
enum { WORD_BUCKETS = 1 << BITS, BUCKETS = 2 << BITS, SAMPLED_BUCKETS = WORD_BUCKETS + WORD_BUCKETS / 2 };
/* 64-bit words of a set of buckets. */
enum { WORDS = BUCKETS / 64 };
static const uint64_t PRIME = 0x9E3779B97F4A7C15u, BASE = 0x100000001B3u, PAIR = 0xC2B2AE3D27D4EB4Fu;
/* The tables are larger than the L2 cache: how many entries ahead of its use one is prefetched. */
enum { AHEAD = 16 };
/* As in kernel_numpy.py. */
enum { IDF_BITS = 12, IDF_MASK = (1 << IDF_BITS) - 1, CLIP = 8 << 12 };

/* LONGEST bounds each sum in the latent space, which has at most 2**14 rows of 16-bit numbers. */
enum { DIMENSIONS = 24, POINT_LENGTH = 1 << 12, BLOCK = 64, LONGEST = 1 << 29 };
/* The columns of the table of weights: one for each head, and the squared idf. */
enum { HEADS = 2, COLUMNS = 3 };

enum { DIGIT = 1, UPPER = 2, SYMBOL = 4, LETTER = 8 };
static uint8_t kinds[256];

static void init_kinds(void) {
    for (int byte = 0; byte < 256; byte++) {
        int digit = byte >= '0' && byte <= '9', upper = byte >= 'A' && byte <= 'Z';
        int lower = byte >= 'a' && byte <= 'z';
        int space = byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31);
        kinds[byte] = (digit ? DIGIT : 0) | (upper ? UPPER : 0);
        if (byte > 127 || byte == '_' || digit || upper || lower) kinds[byte] |= LETTER;
        if (byte < 128 && !digit && !upper && !lower && !space) kinds[byte] |= SYMBOL;
    }
}

static void mismatch(const char *what) { PyErr_Format(PyExc_ValueError, "%s does not fit the other tables", what); }

/* A bit set, which yields its numbers in ascending order. */
static inline void put(uint64_t *set, uint32_t number) { set[number >> 6] |= (uint64_t)1 << (number & 63); }
static inline int has(const uint64_t *set, uint32_t number) { return set[number >> 6] >> (number & 63) & 1; }

/* The buckets of a text as a bit set, and which of its 64-bit words are not zero: a text has few buckets. Both are zero
 * between two calls.
 */
static _Thread_local uint64_t found_buckets[WORDS], touched[WORDS / 64];

/* Adds the bucket of a hash; counts in `fresh` the distinct buckets below SAMPLED_BUCKETS, and the others. */
static inline void put_hash(uint64_t hash, uint32_t from, Py_ssize_t fresh[2]) {
    uint32_t bucket = from + (uint32_t)(hash * PRIME >> (64 - BITS));
    fresh[bucket >= SAMPLED_BUCKETS] += !has(found_buckets, bucket);
    put(found_buckets, bucket);
    put(touched, bucket >> 6);
}

static PyObject *ngrams(PyObject *Py_UNUSED(self), PyObject *plain) {
    Py_buffer text;
    if (PyObject_GetBuffer(plain, &text, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *found = NULL, *buckets;
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
        many += at - start > LONG_WORD;
    }
    words = fresh[0];
    /* The byte n-grams of the text with a space at either end, each in the upper bytes of a number. */
    uint64_t window = (uint64_t)' ' << 56;
    const uint64_t upper = ~(uint64_t)0 << 8 * (8 - BYTE_NGRAM);
    for (Py_ssize_t at = 0; at <= length; at++) {
        window = window >> 8 | (uint64_t)(at < length ? data[at] : ' ') << 56;
        if (at >= BYTE_NGRAM - 2) put_hash(window & upper, WORD_BUCKETS, fresh);
    }
    buckets = PyBytes_FromStringAndSize(NULL, (fresh[0] + fresh[1]) * (Py_ssize_t)sizeof(int64_t));
    int64_t *out = buckets ? (int64_t *)PyBytes_AsString(buckets) : NULL;
    for (uint32_t part = 0; part < WORDS / 64; part++)
        for (; touched[part]; touched[part] &= touched[part] - 1) {
            uint32_t word = 64 * part + (uint32_t)__builtin_ctzll(touched[part]);
            for (uint64_t bits = out ? found_buckets[word] : 0; bits; bits &= bits - 1)
                *out++ = 64 * (int64_t)word + __builtin_ctzll(bits);
            found_buckets[word] = 0;
        }
    if (buckets) found = Py_BuildValue("Nnnnnn", buckets, words, fresh[0], count, longest, many);
    PyBuffer_Release(&text);
    return found;
}

static PyObject *count_characters(PyObject *Py_UNUSED(self), PyObject *written) {
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

static PyObject *sum_weights(PyObject *Py_UNUSED(self), PyObject *args) {
    Py_buffer buckets, table;
    Py_ssize_t words;
    if (!PyArg_ParseTuple(args, "y*ny*", &buckets, &words, &table)) return NULL;
    const int64_t *bucket = buckets.buf;
    const int32_t (*rows)[COLUMNS] = table.buf;
    Py_ssize_t count = buckets.len / (Py_ssize_t)sizeof *bucket, limit = table.len / (Py_ssize_t)sizeof *rows;
    int64_t sums[2][COLUMNS] = {{0}};
    PyObject *found = NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(rows + bucket[at + AHEAD]);
        if ((uint64_t)bucket[at] >= (uint64_t)limit) {
            mismatch("the table of weights");
            goto done;
        }
        int64_t *sum = sums[at >= words];
        for (int column = 0; column < COLUMNS; column++) sum[column] += rows[bucket[at]][column];
    }
    found = Py_BuildValue("LLLLLL", (long long)sums[0][0], (long long)sums[0][1], (long long)sums[0][2],
                          (long long)sums[1][0], (long long)sums[1][1], (long long)sums[1][2]);
done:
    PyBuffer_Release(&buckets);
    PyBuffer_Release(&table);
    return found;
}

static PyObject *forest_sums(PyObject *Py_UNUSED(self), PyObject *args) {
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
        mismatch("the forest");
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
                mismatch("the forest");
                goto done;
            }
            left[tree] &= of[which[split + tree]] > above[split + tree] ? (uint64_t)kept[split + tree] : ~(uint64_t)0;
        }
    uint64_t sums[HEADS] = {0};
    for (Py_ssize_t tree = 0; tree < trees; tree++) {
        Py_ssize_t leaf = left[tree] ? __builtin_ctzll(left[tree]) : per;
        if (leaf >= per) {
            mismatch("the forest");
            goto done;
        }
        for (int head = 0; head < HEADS; head++) sums[head] += (uint64_t)value[tree * per + leaf][head];
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

static PyObject *mahalanobis(PyObject *Py_UNUSED(self), PyObject *args) {
    Py_buffer shape, mean, scale, whiten;
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &shape, &mean, &scale, &whiten)) return NULL;
    const int64_t *of = shape.buf, *middle = mean.buf, *rows = whiten.buf;
    const double *factor = scale.buf;
    Py_ssize_t wide = shape.len / 8;
    int64_t standard[64];
    uint64_t sum = 0;
    PyObject *found = NULL;
    if (wide > 64 || mean.len != shape.len || scale.len != shape.len || whiten.len != 8 * wide * wide) {
        mismatch("the table of measures");
        goto done;
    }
    for (Py_ssize_t at = 0; at < wide; at++) {
        double value = (double)(int64_t)((uint64_t)of[at] - (uint64_t)middle[at]) * factor[at];
        if (isnan(value)) {
            mismatch("the table of measures");
            goto done;
        }
        standard[at] = (int64_t)rint(value > CLIP ? CLIP : value < -CLIP ? -CLIP : value);
    }
    for (Py_ssize_t row = 0; row < wide; row++) {
        uint64_t product = 0;
        for (Py_ssize_t at = 0; at < wide; at++) product += (uint64_t)rows[row * wide + at] * (uint64_t)standard[at];
        product = (uint64_t)((int64_t)product >> 16);
        sum += product * product;
    }
    found = PyLong_FromLongLong((long long)sum);
done:
    PyBuffer_Release(&shape);
    PyBuffer_Release(&mean);
    PyBuffer_Release(&scale);
    PyBuffer_Release(&whiten);
    return found;
}

/* Keeps the `most` largest keys in ascending order; -1 marks an empty slot. */
static inline void offer(int64_t *best, Py_ssize_t most, int64_t key) {
    if (key <= best[0]) return;
    Py_ssize_t at = 0;
    for (; at + 1 < most && best[at + 1] < key; at++) best[at] = best[at + 1];
    best[at] = key;
}

/* The most texts that a call can ask for. A posting list has two entries or more, so that 1,500 entries belong to fewer
 * rows than TAKEN.
 */
enum { MOST = 64, TAKEN = 1024 };

/* The index of reference texts as `nearest` gets it; see kernel_numpy.py. */
struct index {
    const uint32_t *known, *starts, *rows_of, *ends, *squares;
    const uint16_t *owners;
    const int64_t *inverse;
    Py_ssize_t buckets, rows, entries, held, texts;
};

/* The texts that share most of the rows in `set`, counted over at most `postings` entries of the index. Returns whether
 * there are any; -1 with an exception where there is no memory or the index does not fit itself.
 */
static int candidates(const uint64_t *set, int unlisted, const struct index *in, Py_ssize_t postings, Py_ssize_t most,
                      int64_t *best) {
    /* For each text the number of shared rows, at most TAKEN; behind that the list of texts with any. */
    uint16_t *shared = PyMem_Calloc(2 * (size_t)in->texts + 1, sizeof *shared);
    if (!shared) {
        PyErr_NoMemory();
        return -1;
    }
    uint16_t *some = shared + in->texts;
    Py_ssize_t any = 0;
    /* First choose the rows, so that their posting lists are prefetched before they are read. */
    uint32_t taken[TAKEN], count = 0;
    Py_ssize_t seen = 0;
    for (Py_ssize_t word = 0; word <= (in->rows - 1) / 64 && count < TAKEN; word++)
        for (uint64_t bits = set[word]; bits; bits &= bits - 1) {
            uint32_t row = 64 * (uint32_t)word + (uint32_t)__builtin_ctzll(bits);
            if (in->starts[row] > in->starts[row + 1] || in->starts[row + 1] > in->entries) goto bad;
            seen += in->starts[row + 1] - in->starts[row];
            /* The rarest row is read in any case, unless a bucket without a row came first. */
            if (seen > postings && (count || unlisted)) goto known;
            __builtin_prefetch(in->owners + in->starts[row]);
            taken[count++] = row;
            if (seen > postings || count == TAKEN) goto known;
        }
known:
    for (uint32_t at = 0; at < count; at++)
        for (uint32_t entry = in->starts[taken[at]]; entry < in->starts[taken[at] + 1]; entry++) {
            uint16_t owner = in->owners[entry];
            /* A text is once in a posting list. */
            if (owner >= in->texts || shared[owner] > at) goto bad;
            if (!shared[owner]++) some[any++] = owner;
        }
    for (Py_ssize_t at = 0; at < most; at++) best[at] = -1;
    /* With fewer texts than asked for, the others are candidates too. */
    for (Py_ssize_t at = 0; at < (any < most ? in->texts : any); at++) {
        Py_ssize_t text = any < most ? at : some[at];
        offer(best, most, (int64_t)((uint64_t)shared[text] * (uint64_t)in->inverse[text]) | text);
    }
    PyMem_Free(shared);
    return any > 0;
bad:
    PyMem_Free(shared);
    mismatch("the index");
    return -1;
}

/* The sum of the squares of all rows in `set` that a text has; -1 with an exception where the index does not fit itself. */
static int64_t common_squares(const uint64_t *set, const struct index *in, Py_ssize_t text) {
    uint64_t common = 0;
    int fits = text < in->texts && in->ends[text] <= in->ends[text + 1] && in->ends[text + 1] <= in->held;
    for (uint32_t entry = fits ? in->ends[text] : 0; fits && entry < in->ends[text + 1]; entry++) {
        uint32_t row = in->rows_of[entry];
        fits = row < in->rows;
        if (fits && has(set, row)) common += in->squares[row];
    }
    if (fits) return (int64_t)common;
    mismatch("the index");
    return -1;
}

static PyObject *nearest(PyObject *Py_UNUSED(self), PyObject *args) {
    Py_buffer buckets, known, starts, owners, held, ends, squares, inverse;
    Py_ssize_t words, postings, most;
    if (!PyArg_ParseTuple(args, "y*n(y*y*y*y*y*y*y*)nn", &buckets, &words, &known, &starts, &owners, &held, &ends,
                          &squares, &inverse, &postings, &most))
        return NULL;
    const int64_t *bucket = buckets.buf;
    const struct index in = {known.buf,  starts.buf,       held.buf,         ends.buf,       squares.buf,
                             owners.buf, inverse.buf,      known.len / 4,    squares.len / 4, owners.len / 2,
                             held.len / 4, inverse.len / 8};
    Py_ssize_t count = buckets.len / 8;
    PyObject *near = NULL, *found = NULL;
    uint64_t *set = PyMem_Calloc((size_t)in.rows / 64 + 1, sizeof *set);
    if (!set) {
        PyErr_NoMemory();
        goto done;
    }
    if (most < 1 || most > MOST || postings > 2 * TAKEN || in.rows < 1 || in.texts > 1 << 16 ||
        starts.len != 4 * (in.rows + 1) || ends.len != 4 * (in.texts + 1) || in.starts[in.rows] != in.entries ||
        in.ends[in.texts] != in.held) {
        mismatch("the index");
        goto done;
    }
    uint64_t norm = 0, idf = 0;
    int unlisted = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(in.known + bucket[at + AHEAD]);
        if ((uint64_t)bucket[at] >= (uint64_t)in.buckets || in.known[bucket[at]] >> IDF_BITS >= in.rows) {
            mismatch("the index");
            goto done;
        }
        uint32_t weight = in.known[bucket[at]] & IDF_MASK, row = in.known[bucket[at]] >> IDF_BITS;
        norm += weight * weight;
        if (at < words) idf += weight;
        if (row) put(set, row);
        unlisted |= !row;
    }
    near = PyList_New(0);
    if (!near) goto done;
    int64_t best[MOST];
    int any = candidates(set, unlisted, &in, postings, most, best);
    if (any < 0) goto done;
    for (Py_ssize_t at = 0; any && at < most; at++) {
        if (best[at] < 0) continue;
        Py_ssize_t text = best[at] & 0xFFFF;
        int64_t common = common_squares(set, &in, text);
        if (common < 0) goto done;
        PyObject *pair = Py_BuildValue("nL", text, (long long)common);
        int bad = !pair || PyList_Append(near, pair) < 0;
        Py_XDECREF(pair);
        if (bad) goto done;
    }
    found = Py_BuildValue("LLO", (long long)norm, (long long)idf, near);
done:
    Py_XDECREF(near);
    PyMem_Free(set);
    PyBuffer_Release(&buckets);
    PyBuffer_Release(&known);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&owners);
    PyBuffer_Release(&held);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&squares);
    PyBuffer_Release(&inverse);
    return found;
}

static PyObject *latent_point(PyObject *Py_UNUSED(self), PyObject *args) {
    Py_buffer buckets, row_of, table;
    if (!PyArg_ParseTuple(args, "y*y*y*", &buckets, &row_of, &table)) return NULL;
    const int64_t *bucket = buckets.buf;
    const uint16_t *row = row_of.buf;
    const int16_t (*of)[DIMENSIONS] = table.buf;
    Py_ssize_t count = buckets.len / 8, limit = row_of.len / 2, rows = table.len / (Py_ssize_t)sizeof *of;
    uint32_t sum[DIMENSIONS] = {0};
    int16_t point[DIMENSIONS] = {0};
    uint64_t squared = 0;
    PyObject *found = NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        if (at + AHEAD < count) __builtin_prefetch(row + bucket[at + AHEAD]);
        if ((uint64_t)bucket[at] >= (uint64_t)limit || row[bucket[at]] >= rows) {
            mismatch("the table of the latent space");
            goto done;
        }
        const int16_t *own = of[row[bucket[at]]];
        for (int axis = 0; axis < DIMENSIONS; axis++) sum[axis] += (uint32_t)own[axis];
    }
    for (int axis = 0; axis < DIMENSIONS; axis++) {
        int64_t own = (int32_t)sum[axis];
        /* More rows than the latent space may have: the squares might not fit. */
        if (own <= -LONGEST || own >= LONGEST) {
            mismatch("the table of the latent space");
            goto done;
        }
        squared += (uint64_t)(own * own);
    }
    if (squared) {
        double scale = POINT_LENGTH / sqrt((double)squared);
        for (int axis = 0; axis < DIMENSIONS; axis++) point[axis] = (int16_t)rint((int32_t)sum[axis] * scale);
    }
    found = PyBytes_FromStringAndSize((const char *)point, sizeof point);
done:
    PyBuffer_Release(&buckets);
    PyBuffer_Release(&row_of);
    PyBuffer_Release(&table);
    return found;
}

/* With GCC 12 or later also compiled for processors with AVX2 and AVX-512; the loader chooses. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define WITH_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WITH_SIMD_CLONES
#endif

/* Loops over the neighbours of a block whose order does not matter, so that the compiler vectorizes them. */
WITH_SIMD_CLONES static void knn_block(const int16_t one[DIMENSIONS], const int16_t points[DIMENSIONS][BLOCK],
                                 const int32_t labels[HEADS][BLOCK], uint64_t sums[HEADS], int64_t *total) {
    /* Keeps the shifted numbers non-negative: AVX2 has no arithmetic shift of 64-bit integers. */
    const int64_t bias = (int64_t)1 << 62;
    int32_t weight[BLOCK] = {0};
    int64_t sum = 0;
    for (int axis = 0; axis < DIMENSIONS; axis++)
        for (int at = 0; at < BLOCK; at++)
            weight[at] = (int32_t)((uint32_t)weight[at] + (uint32_t)((int32_t)one[axis] * points[axis][at]));
    for (int at = 0; at < BLOCK; at++) {
        int32_t cosine = weight[at] < POINT_LENGTH * POINT_LENGTH ? weight[at] : POINT_LENGTH * POINT_LENGTH - 1;
        weight[at] = cosine <= POINT_LENGTH * POINT_LENGTH / 4 ? 0 : cosine;
    }
    /* Each step is exact or rounded once as IEEE 754 defines it, so that all processors agree. A loop of its own without
       an inner loop is what compilers vectorize. */
    for (int at = 0; at < BLOCK; at++) {
        float power = (float)weight[at] * (1.0f / (POINT_LENGTH * POINT_LENGTH));
        power *= power, power *= power, power *= power, power *= power;
        weight[at] = (int32_t)(power * 2147483648.0f);
    }
    for (int head = 0; head < HEADS; head++) {
        uint64_t of = 0;
        for (int at = 0; at < BLOCK; at++)
            of += (uint64_t)((int64_t)weight[at] * labels[head][at] + bias) >> 16;
        sums[head] += of - BLOCK * (uint64_t)(bias >> 16);
    }
    for (int at = 0; at < BLOCK; at++) sum += weight[at];
    *total += sum;
}

static PyObject *knn_sums(PyObject *Py_UNUSED(self), PyObject *args) {
    Py_buffer point, points, labels;
    if (!PyArg_ParseTuple(args, "y*y*y*", &point, &points, &labels)) return NULL;
    const int16_t *one = point.buf, (*every)[DIMENSIONS][BLOCK] = points.buf;
    const int32_t (*label)[HEADS][BLOCK] = labels.buf;
    Py_ssize_t count = points.len / (Py_ssize_t)sizeof *every;
    uint64_t sums[HEADS] = {0};
    int64_t total = 0;
    PyObject *found = NULL;
    if (point.len != DIMENSIONS * (Py_ssize_t)sizeof *one || points.len != count * (Py_ssize_t)sizeof *every ||
        labels.len != count * (Py_ssize_t)sizeof *label) {
        mismatch("the kNN table");
        goto done;
    }
    for (Py_ssize_t at = 0; at < count; at++) knn_block(one, every[at], label[at], sums, &total);
    found = Py_BuildValue("LLL", (long long)sums[0], (long long)sums[1], (long long)total);
done:
    PyBuffer_Release(&point);
    PyBuffer_Release(&points);
    PyBuffer_Release(&labels);
    return found;
}

static PyMethodDef methods[] = {
    {"ngrams", ngrams, METH_O, NULL},
    {"count_characters", count_characters, METH_O, NULL},
    {"sum_weights", sum_weights, METH_VARARGS, NULL},
    {"forest_sums", forest_sums, METH_VARARGS, NULL},
    {"mahalanobis", mahalanobis, METH_VARARGS, NULL},
    {"nearest", nearest, METH_VARARGS, NULL},
    {"latent_point", latent_point, METH_VARARGS, NULL},
    {"knn_sums", knn_sums, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernel", "The inner loops of a decision; see kernel_numpy.py.", 0, methods, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__kernel(void) {
    init_kinds();
    return PyModule_Create(&module);
}
