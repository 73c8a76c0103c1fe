// Scores are held transposed, keys by queries, thirty-two queries in two vectors: the softmax' largest value and sum
// then run down columns, and every product below is one small kernel in which the left factor's numbers meet whole
// vectors of the right one. With queries Q, keys K, values V, result O and the incoming derivative G of a block:
//
//   S^T = K Q^T     O^T = V^T W^T     dW^T = V G^T     dQ^T = K^T dS^T     dK = dS^T Q     dV = W^T G
//
// All arithmetic is fp32; bf16 is widened once.

#include "AttentionLanes.h"

#include "Parallel.h"
#include "Scratch.h"
#include "Vectors.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace ctorch {

namespace {

constexpr int64_t edge = block_edge;
// Keys whose scores are held at once.
constexpr int64_t held_keys = 64;
constexpr float log2_e = 1.44269504f, infinity = std::numeric_limits<float>::infinity();

int64_t whole_lanes(int64_t count) { return (count + lanes - 1) / lanes * lanes; }

// MARK: Products

// A left factor: number (m, k) is at data[m * row + k * step].
struct Numbers {
  const float *data;
  int64_t row, step;
};

template <int rows, int vectors, bool adding>
INLINE void multiply_rows(Numbers a, const float *b, int64_t b_pitch, float *c, int64_t c_pitch, int64_t depth) {
  Floats sum[rows][vectors];
  for (int r = 0; r < rows; r++) {
    for (int v = 0; v < vectors; v++) sum[r][v] = adding ? load(c + r * c_pitch + v * lanes) : Floats(0.0f);
  }
  for (int64_t k = 0; k < depth; k++) {
    Floats right[vectors];
    for (int v = 0; v < vectors; v++) right[v] = load(b + k * b_pitch + v * lanes);
    for (int r = 0; r < rows; r++) {
      const float left = a.data[r * a.row + k * a.step];
      for (int v = 0; v < vectors; v++) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < rows; r++) {
    for (int v = 0; v < vectors; v++) store(c + r * c_pitch + v * lanes, sum[r][v]);
  }
}

// c [rows][16 * vectors] (+)= a b, with a [rows][depth] and b [depth][16 * vectors].
template <int vectors, bool adding>
INLINE void multiply(Numbers a, const float *b, int64_t b_pitch, float *c, int64_t c_pitch, int64_t rows,
                     int64_t depth) {
  constexpr int together = vectors == 1 ? 8 : 4;
  int64_t m = 0;
  for (; m + together <= rows; m += together) {
    multiply_rows<together, vectors, adding>({a.data + m * a.row, a.row, a.step}, b, b_pitch, c + m * c_pitch,
                                             c_pitch, depth);
  }
  for (; m < rows; m++) {
    multiply_rows<1, vectors, adding>({a.data + m * a.row, a.row, a.step}, b, b_pitch, c + m * c_pitch, c_pitch,
                                      depth);
  }
}

// The same, adding, with b and c of any number of whole vectors.
INLINE void add_product(Numbers a, const float *b, float *c, int64_t pitch, int64_t rows, int64_t depth) {
  int64_t i = 0;
  for (; i + 2 * lanes <= pitch; i += 2 * lanes) multiply<2, true>(a, b + i, pitch, c + i, pitch, rows, depth);
  if (i < pitch) multiply<1, true>(a, b + i, pitch, c + i, pitch, rows, depth);
}

// MARK: Layouts

// Four rounds of shuffling sixteen vectors together like cards.
INLINE void transpose(Floats rows[lanes]) {
  for (int round = 0; round < 4; round++) {
    Floats mixed[lanes];
    for (int i = 0; i < lanes / 2; i++) {
      mixed[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22,
                                             7, 23);
      mixed[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                                 14, 30, 15, 31);
    }
    for (int i = 0; i < lanes; i++) rows[i] = mixed[i];
  }
}

// At most 32 rows of `width` as columns [width up][32] times `factor`, zeros where there is none.
template <typename T>
INLINE void load_columns(const T *from, int64_t stride, int64_t rows, int64_t width, float factor, float *to) {
  for (int64_t half = 0; half < edge; half += lanes) {
    for (int64_t i = 0; i < width; i += lanes) {
      Floats block[lanes];
      for (int64_t t = 0; t < lanes; t++) {
        block[t] = half + t < rows ? load(from + (half + t) * stride + i, width - i) * factor : Floats(0.0f);
      }
      transpose(block);
      for (int64_t j = 0; j < lanes; j++) store(to + (i + j) * edge + half, block[j]);
    }
  }
}

// Columns [width up][32], each times its own factor, as at most 32 rows.
template <typename T>
INLINE void store_columns(const float *columns, const Floats factors[2], int64_t rows, int64_t width, T *to,
                          int64_t stride) {
  for (int64_t half = 0; half < std::min(rows, edge); half += lanes) {
    for (int64_t i = 0; i < width; i += lanes) {
      Floats block[lanes];
      for (int64_t j = 0; j < lanes; j++) block[j] = load(columns + (i + j) * edge + half) * factors[half / lanes];
      transpose(block);
      for (int64_t t = 0; t < std::min(lanes, rows - half); t++) {
        store<T>(to + (half + t) * stride + i, block[t], width - i);
      }
    }
  }
}

// Rows of `width` as fp32 [rows][pitch], zeros behind.
template <typename T>
INLINE void load_rows(const T *from, int64_t stride, int64_t rows, int64_t width, float *to, int64_t pitch) {
  for (int64_t t = 0; t < rows; t++) {
    by_lanes(width, [&](int64_t i, int64_t count) VECTORIZED {
      store(to + t * pitch + i, load(from + t * stride + i, count));
    });
  }
}

// fp32 rows [rows][pitch], each number times `factor`.
template <typename T>
INLINE void store_rows(const float *from, int64_t pitch, float factor, int64_t rows, int64_t width, T *to,
                       int64_t stride) {
  for (int64_t t = 0; t < rows; t++) {
    by_lanes(width, [&](int64_t i, int64_t count) VECTORIZED {
      store<T>(to + t * stride + i, load(from + t * pitch + i) * factor, count);
    });
  }
}

INLINE Numbers turned(Numbers a) { return {a.data, a.step, a.row}; }

// Keys and values of one head as left factors, a chunk at a time: in place where they are fp32, else widened.
template <typename T> struct Room {
  const AttentionProblem &p;
  const T *keys, *values;
  float *wide_keys = nullptr, *wide_values = nullptr;

  INLINE Room(const AttentionProblem &problem, int64_t b, int64_t shared, Scratch &scratch)
      : p(problem), keys(p.key.at<T>(b, shared)), values(p.value.at<T>(b, shared)) {
    if constexpr (!std::is_same_v<T, float>) {
      wide_keys = scratch.take<float>(held_keys * whole_lanes(p.width));
      wide_values = scratch.take<float>(held_keys * whole_lanes(p.depth));
    }
  }

  INLINE std::pair<Numbers, Numbers> chunk(int64_t from, int64_t count) const {
    const T *key = keys + from * p.key.row, *value = values + from * p.value.row;
    if constexpr (std::is_same_v<T, float>) {
      return {{key, p.key.row, 1}, {value, p.value.row, 1}};
    } else {
      const int64_t width = whole_lanes(p.width), depth = whole_lanes(p.depth);
      load_rows(key, p.key.row, count, p.width, wide_keys, width);
      load_rows(value, p.value.row, count, p.depth, wide_values, depth);
      return {{wide_keys, width, 1}, {wide_values, depth, 1}};
    }
  }
};

// MARK: Weights

INLINE Lanes<int32_t> queries_from(int64_t first) {
  Lanes<int32_t> places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return places + static_cast<int32_t>(first);
}

// A block's place among queries and keys.
struct Place {
  int64_t query, key, count;  // first of 32 queries, first key, number of keys
  const float *bias;          // of the first key and query, or null
  int64_t bias_pitch;
  bool diagonal;              // whether causality hides some of these keys from some of these queries
};

INLINE Floats visible_score(const float *scores, const Place &place, int64_t i, int half) {
  Floats score = load(scores + i * edge + half * lanes);
  if (place.bias) score += load(place.bias + i * place.bias_pitch + half * lanes);
  if (place.diagonal) {
    const auto key = static_cast<int32_t>(place.key + i);
    score = chosen(queries_from(place.query + half * lanes) >= key, score, Floats(-infinity));
  }
  return score;
}

struct Running {
  Floats largest[2] = {-infinity, -infinity}, sum[2] = {0.0f, 0.0f};
};

// Scores [count][32], in units of log2, to weights; `running` is brought up to date and the result so far shrunk.
INLINE void softmax(float *scores, const Place &place, Running &running, float *result, int64_t depth) {
  for (int half = 0; half < 2; half++) {
    Floats largest = running.largest[half];
    for (int64_t i = 0; i < place.count; i++) {
      Floats score = visible_score(scores, place, i, half);
      store(scores + i * edge + half * lanes, score);
      largest = chosen(score > largest, score, largest);
    }
    // A query that has seen nothing yet has no largest score to subtract.
    Floats shift = chosen(largest == -infinity, Floats(0.0f), largest);
    Floats shrink = power_of_two(running.largest[half] - shift), sum = 0.0f;
    for (int64_t i = 0; i < place.count; i++) {
      float *score = scores + i * edge + half * lanes;
      Floats weight = power_of_two(load(score) - shift);
      store(score, weight);
      sum += weight;
    }
    if (place.key > 0) {
      for (int64_t i = 0; i < depth; i++) {
        float *value = result + i * edge + half * lanes;
        store(value, load(value) * shrink);
      }
    }
    running.sum[half] = running.sum[half] * shrink + sum;
    running.largest[half] = largest;
  }
}

INLINE void silu(float *scores, int64_t count) {
  for (int64_t i = 0; i < count * edge; i += lanes) {
    Floats score = load(scores + i);
    store(scores + i, score * sigmoid(score));
  }
}

// Scores become weights and the weights' derivatives the scores'.
template <Weighting weighting>
INLINE void weigh(float *scores, float *derivatives, const Place &place, const Floats sums[2],
                  const Floats means[2]) {
  for (int64_t i = 0; i < place.count; i++) {
    for (int half = 0; half < 2; half++) {
      const int64_t at = i * edge + half * lanes;
      Floats derivative = load(derivatives + at);
      if constexpr (weighting == Weighting::softmax) {
        Floats weight = power_of_two(visible_score(scores, place, i, half) - sums[half]);
        store(scores + at, weight);
        store(derivatives + at, weight * (derivative - means[half]));
      } else {
        Floats score = load(scores + at), gate = sigmoid(score), weight = score * gate;
        store(scores + at, weight);
        // silu' = gate + score gate (1 - gate)
        store(derivatives + at, derivative * (gate + weight * (1.0f - gate)));
      }
    }
  }
}

INLINE Place place_of(const AttentionProblem &p, int64_t b, int64_t head, int64_t query, int64_t key, int64_t end) {
  Place place{query, key, std::min(held_keys, end - key), nullptr, (p.queries + edge - 1) / edge * edge, false};
  if (p.bias) place.bias = p.bias + b * p.bias_batch + head * p.bias_head + key * place.bias_pitch + query;
  place.diagonal = p.causal && key + place.count > query + 1;
  return place;
}

// What scores are multiplied by before they become weights.
float score_scale(const AttentionProblem &p) {
  return p.weighting == Weighting::softmax ? p.scale * log2_e : p.scale;
}

// MARK: Forward

// Blocks of 32 queries `first` ..< `last` of all heads that share key head `shared`.
template <typename T>
INLINE void forward_task(const AttentionProblem &p, const HeadsView &out, float *sums, int64_t b, int64_t shared,
                         int64_t first, int64_t last) {
  const int64_t width = whole_lanes(p.width), depth = whole_lanes(p.depth);
  const int64_t keys = p.causal ? std::min(p.keys, last * edge) : p.keys;
  Scratch scratch(4 * ((held_keys + edge) * (width + depth) + edge * held_keys) + 1024);
  Room<T> room(p, b, shared, scratch);
  auto *query = scratch.take<float>(width * edge);
  auto *result = scratch.take<float>(depth * edge);
  auto *scores = scratch.take<float>(held_keys * edge);

  const int64_t group = p.heads / p.shared;
  for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
    for (int64_t start = first * edge; start < std::min(last * edge, p.queries); start += edge) {
      const int64_t rows = std::min(edge, p.queries - start);
      load_columns(p.query.at<T>(b, head) + start * p.query.row, p.query.row, rows, p.width, score_scale(p), query);
      Running running;
      const int64_t end = p.causal ? std::min(keys, start + edge) : keys;
      for (int64_t from = 0; from < end; from += held_keys) {
        const Place place = place_of(p, b, head, start, from, end);
        const auto [key, value] = room.chunk(from, place.count);
        multiply<2, false>(key, query, edge, scores, edge, place.count, p.width);
        if (p.weighting == Weighting::softmax) softmax(scores, place, running, result, p.depth);
        else silu(scores, place.count);
        if (from == 0) multiply<2, false>(turned(value), scores, edge, result, edge, p.depth, place.count);
        else multiply<2, true>(turned(value), scores, edge, result, edge, p.depth, place.count);
      }
      Floats factors[2] = {p.factor, p.factor};
      if (p.weighting == Weighting::softmax) {
        for (int half = 0; half < 2; half++) {
          Floats sum = running.sum[half];
          factors[half] = chosen(sum == 0.0f, Floats(0.0f), 1.0f / sum);
          // Infinite where nothing was seen, so that backward finds no weight either.
          float largest[lanes], total[lanes];
          store(largest, running.largest[half]);
          store(total, sum);
          float *to = sums + (b * p.heads + head) * p.queries + start + half * lanes;
          for (int64_t i = 0; i < std::min(lanes, rows - half * lanes); i++) {
            to[i] = total[i] == 0 ? infinity : largest[i] + std::log2(total[i]);
          }
        }
      }
      store_columns(result, factors, rows, p.depth, out.at<T>(b, head) + start * out.row, out.row);
    }
  }
}

// MARK: Backward

struct Wanted {
  HeadsView query, key, value;  // null where not wanted
  float *partial;  // of the queries' derivatives, [parts][B][H][T up][width up] in columns; null for one part
};

// Chunks of held_keys `first` ..< `last` for all heads that share key head `shared`.
template <typename T>
INLINE void backward_task(const AttentionProblem &p, const HeadsView &out, const HeadsView &gradient,
                          const float *sums, const Wanted &wanted, int64_t b, int64_t shared, int64_t part,
                          int64_t first, int64_t last) {
  const int64_t width = whole_lanes(p.width), depth = whole_lanes(p.depth);
  const int64_t from_key = first * held_keys, to_key = std::min(p.keys, last * held_keys), keys = to_key - from_key;
  Scratch scratch(4 * ((keys + held_keys + 3 * edge) * (width + depth) + 2 * edge * held_keys) + 1024);
  Room<T> room(p, b, shared, scratch);
  auto *key_sum = scratch.take<float>(keys * width);
  auto *value_sum = scratch.take<float>(keys * depth);
  auto *query = scratch.take<float>(width * edge);
  auto *query_rows = scratch.take<float>(width * edge);
  auto *own_sum = scratch.take<float>(width * edge);
  auto *incoming = scratch.take<float>(depth * edge);
  auto *incoming_rows = scratch.take<float>(depth * edge);
  auto *result = scratch.take<float>(depth * edge);
  auto *weights = scratch.take<float>(held_keys * edge);
  auto *derivatives = scratch.take<float>(held_keys * edge);
  std::fill(key_sum, key_sum + keys * width, 0.0f);
  std::fill(value_sum, value_sum + keys * depth, 0.0f);
  std::fill(query_rows, query_rows + width * edge, 0.0f);
  std::fill(incoming_rows, incoming_rows + depth * edge, 0.0f);

  const int64_t group = p.heads / p.shared, blocks = (p.queries + edge - 1) / edge;
  for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
    for (int64_t start = 0; start < p.queries; start += edge) {
      const int64_t rows = std::min(edge, p.queries - start);
      const int64_t end = p.causal ? std::min(to_key, start + edge) : to_key;
      float *query_sum = own_sum;
      if (wanted.partial) {
        query_sum = wanted.partial + (((part * p.batch + b) * p.heads + head) * blocks + start / edge) * width * edge;
      }
      std::fill(query_sum, query_sum + width * edge, 0.0f);
      const T *asked = p.query.at<T>(b, head) + start * p.query.row;
      const T *came = gradient.at<T>(b, head) + start * gradient.row;
      load_columns(asked, p.query.row, rows, p.width, score_scale(p), query);
      load_rows(asked, p.query.row, rows, p.width, query_rows, width);
      load_columns(came, gradient.row, rows, p.depth, 1.0f, incoming);
      load_rows(came, gradient.row, rows, p.depth, incoming_rows, depth);
      Floats logarithms[2] = {infinity, infinity}, means[2] = {0.0f, 0.0f};
      if (p.weighting == Weighting::softmax) {
        load_columns(out.at<T>(b, head) + start * out.row, out.row, rows, p.depth, 1.0f, result);
        const float *stored = sums + (b * p.heads + head) * p.queries + start;
        float all[edge];
        std::fill(std::copy(stored, stored + rows, all), all + edge, infinity);
        for (int half = 0; half < 2; half++) {
          logarithms[half] = load(all + half * lanes);
          for (int64_t i = 0; i < p.depth; i++) {
            means[half] += load(result + i * edge + half * lanes) * load(incoming + i * edge + half * lanes);
          }
        }
      }
      for (int64_t from = from_key; from < end; from += held_keys) {
        const Place place = place_of(p, b, head, start, from, end);
        const auto [key, value] = room.chunk(from, place.count);
        multiply<2, false>(key, query, edge, weights, edge, place.count, p.width);
        multiply<2, false>(value, incoming, edge, derivatives, edge, place.count, p.depth);
        if (p.weighting == Weighting::softmax) {
          weigh<Weighting::softmax>(weights, derivatives, place, logarithms, means);
        } else {
          weigh<Weighting::silu>(weights, derivatives, place, logarithms, means);
        }
        if (wanted.query.data) {
          multiply<2, true>(turned(key), derivatives, edge, query_sum, edge, p.width, place.count);
        }
        if (wanted.key.data) {
          add_product({derivatives, edge, 1}, query_rows, key_sum + (from - from_key) * width, width, place.count,
                      rows);
        }
        if (wanted.value.data) {
          add_product({weights, edge, 1}, incoming_rows, value_sum + (from - from_key) * depth, depth, place.count,
                      rows);
        }
      }
      if (wanted.query.data && !wanted.partial) {
        const Floats factors[2] = {p.scale * p.factor, p.scale * p.factor};
        store_columns(query_sum, factors, rows, p.width, wanted.query.at<T>(b, head) + start * wanted.query.row,
                      wanted.query.row);
      }
    }
  }
  if (wanted.key.data) {
    store_rows(key_sum, width, p.scale * p.factor, keys, p.width,
               wanted.key.at<T>(b, shared) + from_key * wanted.key.row, wanted.key.row);
  }
  if (wanted.value.data) {
    store_rows(value_sum, depth, p.factor, keys, p.depth,
               wanted.value.at<T>(b, shared) + from_key * wanted.value.row, wanted.value.row);
  }
}

// Adds what the parts found for the 32 queries of a block, and writes it.
template <typename T>
INLINE void join_parts(const AttentionProblem &p, const Wanted &wanted, int64_t parts, int64_t row, int64_t block) {
  const int64_t width = whole_lanes(p.width), blocks = (p.queries + edge - 1) / edge, start = block * edge;
  const int64_t stride = p.batch * p.heads * blocks * width * edge;
  float *sum = wanted.partial + (row * blocks + block) * width * edge;
  for (int64_t part = 1; part < parts; part++) {
    for (int64_t i = 0; i < width * edge; i += lanes) store(sum + i, load(sum + i) + load(sum + part * stride + i));
  }
  const Floats factors[2] = {p.scale * p.factor, p.scale * p.factor};
  store_columns(sum, factors, std::min(edge, p.queries - start), p.width,
                wanted.query.at<T>(row / p.heads, row % p.heads) + start * wanted.query.row, wanted.query.row);
}

// Tasks for each group of heads: more than one where there are few groups for the threads. `most` there can be.
int64_t parts_of(const AttentionProblem &p, int64_t most) {
  const int64_t groups = p.batch * p.shared, threads = at::get_num_threads();
  return groups >= 2 * threads ? 1 : std::max<int64_t>(1, std::min((2 * threads + groups - 1) / groups, most));
}

// body(group, part, first, last) for all groups and parts, on the threads; `count` things are divided into parts.
template <typename Body> void for_tasks(const AttentionProblem &p, int64_t parts, int64_t count, const Body &body) {
  parallel_for(0, p.batch * p.shared * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t group = task / parts, part = task % parts;
      body(group, part, count * part / parts, count * (part + 1) / parts);
    }
  });
}

}  // namespace

template <typename T> void lane_attention(const AttentionProblem &p, const HeadsView &out, float *sums) {
  const int64_t blocks = (p.queries + edge - 1) / edge;
  for_tasks(p, parts_of(p, blocks / 2), blocks, [&](int64_t group, int64_t, int64_t first, int64_t last) {
    vectorized([&]() VECTORIZED { forward_task<T>(p, out, sums, group / p.shared, group % p.shared, first, last); });
  });
}

template <typename T>
void lane_attention_backward(const AttentionProblem &p, const HeadsView &out, const HeadsView &gradient,
                             const float *sums, const HeadsView &query_gradient, const HeadsView &key_gradient,
                             const HeadsView &value_gradient) {
  const int64_t chunks = (p.keys + held_keys - 1) / held_keys, blocks = (p.queries + edge - 1) / edge;
  const int64_t parts = parts_of(p, chunks), rows = p.batch * p.heads;
  Wanted wanted{query_gradient, key_gradient, value_gradient, nullptr};
  std::optional<Scratch> partial;
  if (parts > 1 && query_gradient.data) {
    const int64_t count = parts * rows * blocks * whole_lanes(p.width) * edge;
    partial.emplace(4 * count);
    wanted.partial = partial->take<float>(count);
  }
  for_tasks(p, parts, chunks, [&](int64_t group, int64_t part, int64_t first, int64_t last) {
    vectorized([&]() VECTORIZED {
      backward_task<T>(p, out, gradient, sums, wanted, group / p.shared, group % p.shared, part, first, last);
    });
  });
  if (!wanted.partial) return;
  parallel_for(0, rows * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      vectorized([&]() VECTORIZED { join_parts<T>(p, wanted, parts, task / blocks, task % blocks); });
    }
  });
}

template void lane_attention<float>(const AttentionProblem &, const HeadsView &, float *);
template void lane_attention<c10::BFloat16>(const AttentionProblem &, const HeadsView &, float *);
template void lane_attention_backward<float>(const AttentionProblem &, const HeadsView &, const HeadsView &,
                                             const float *, const HeadsView &, const HeadsView &, const HeadsView &);
template void lane_attention_backward<c10::BFloat16>(const AttentionProblem &, const HeadsView &, const HeadsView &,
                                                     const float *, const HeadsView &, const HeadsView &,
                                                     const HeadsView &);

}  // namespace ctorch
