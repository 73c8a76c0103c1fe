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
    by_lanes(width, [&](int64_t i, int64_t count) VECTORIZED { store(to + t * pitch + i, load(from + t * stride + i, count)); });
  }
}

// Rows as left factors: in place where they are fp32, else widened into `room`.
template <typename T>
INLINE Numbers widened(const T *from, int64_t stride, int64_t rows, int64_t width, float *room) {
  if constexpr (std::is_same_v<T, float>) {
    return {from, stride, 1};
  } else {
    load_rows(from, stride, rows, width, room, whole_lanes(width));
    return {room, whole_lanes(width), 1};
  }
}

INLINE Numbers from_row(Numbers a, int64_t row) { return {a.data + row * a.row, a.row, a.step}; }
INLINE Numbers turned(Numbers a) { return {a.data, a.step, a.row}; }

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
  const bool widens = !std::is_same_v<T, float>;
  Scratch scratch(4 * ((widens ? keys * (width + depth) : 0) + edge * (width + depth + held_keys)) + 1024);
  Numbers key = widened(p.key.at<T>(b, shared), p.key.row, keys, p.width, scratch.take<float>(widens ? keys * width : 0));
  Numbers value = widened(p.value.at<T>(b, shared), p.value.row, keys, p.depth, scratch.take<float>(widens ? keys * depth : 0));
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
        multiply<2, false>(from_row(key, from), query, edge, scores, edge, place.count, p.width);
        if (p.weighting == Weighting::softmax) softmax(scores, place, running, result, p.depth);
        else silu(scores, place.count);
        Numbers turned_value = turned(from_row(value, from));
        if (from == 0) multiply<2, false>(turned_value, scores, edge, result, edge, p.depth, place.count);
        else multiply<2, true>(turned_value, scores, edge, result, edge, p.depth, place.count);
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
};

// What one task adds to the derivatives of a head's keys and values, [keys][width up] and [keys][depth up].
struct Sums {
  float *key, *value;
};

// Blocks of 32 queries `first` ..< `last` of all heads that share key head `shared`.
template <typename T>
INLINE void backward_task(const AttentionProblem &p, const HeadsView &out, const HeadsView &gradient,
                          const float *sums, const Wanted &wanted, const Sums &added, int64_t b, int64_t shared,
                          int64_t first, int64_t last) {
  const int64_t width = whole_lanes(p.width), depth = whole_lanes(p.depth);
  const int64_t keys = p.causal ? std::min(p.keys, last * edge) : p.keys;
  const bool widens = !std::is_same_v<T, float>;
  Scratch scratch(4 * ((widens ? keys * (width + depth) : 0) + edge * (3 * width + 3 * depth + 2 * held_keys)) + 1024);
  Numbers key = widened(p.key.at<T>(b, shared), p.key.row, keys, p.width, scratch.take<float>(widens ? keys * width : 0));
  Numbers value = widened(p.value.at<T>(b, shared), p.value.row, keys, p.depth, scratch.take<float>(widens ? keys * depth : 0));
  auto *query = scratch.take<float>(width * edge);
  auto *query_rows = scratch.take<float>(width * edge);
  auto *query_sum = scratch.take<float>(width * edge);
  auto *incoming = scratch.take<float>(depth * edge);
  auto *incoming_rows = scratch.take<float>(depth * edge);
  auto *result = scratch.take<float>(depth * edge);
  auto *weights = scratch.take<float>(held_keys * edge);
  auto *derivatives = scratch.take<float>(held_keys * edge);
  std::fill(query_rows, query_rows + width * edge, 0.0f);
  std::fill(incoming_rows, incoming_rows + depth * edge, 0.0f);

  const int64_t group = p.heads / p.shared;
  for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
    for (int64_t start = first * edge; start < std::min(last * edge, p.queries); start += edge) {
      const int64_t rows = std::min(edge, p.queries - start);
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
      const int64_t end = p.causal ? std::min(keys, start + edge) : keys;
      for (int64_t from = 0; from < end; from += held_keys) {
        const Place place = place_of(p, b, head, start, from, end);
        multiply<2, false>(from_row(key, from), query, edge, weights, edge, place.count, p.width);
        multiply<2, false>(from_row(value, from), incoming, edge, derivatives, edge, place.count, p.depth);
        if (p.weighting == Weighting::softmax) {
          weigh<Weighting::softmax>(weights, derivatives, place, logarithms, means);
        } else {
          weigh<Weighting::silu>(weights, derivatives, place, logarithms, means);
        }
        if (wanted.query.data) {
          Numbers turned_key = turned(from_row(key, from));
          if (from == 0) multiply<2, false>(turned_key, derivatives, edge, query_sum, edge, p.width, place.count);
          else multiply<2, true>(turned_key, derivatives, edge, query_sum, edge, p.width, place.count);
        }
        if (added.key) {
          add_product({derivatives, edge, 1}, query_rows, added.key + from * width, width, place.count, rows);
        }
        if (added.value) {
          add_product({weights, edge, 1}, incoming_rows, added.value + from * depth, depth, place.count, rows);
        }
      }
      if (wanted.query.data) {
        const Floats factors[2] = {p.scale * p.factor, p.scale * p.factor};
        store_columns(query_sum, factors, rows, p.width, wanted.query.at<T>(b, head) + start * wanted.query.row,
                      wanted.query.row);
      }
    }
  }
}

// Adds what `parts` tasks found, each [keys][pitch], and writes it as rows of `width` times `factor`.
template <typename T>
INLINE void join(const float *sums, int64_t parts, int64_t part_stride, int64_t keys, int64_t pitch, int64_t width,
                 float factor, T *to, int64_t stride) {
  for (int64_t t = 0; t < keys; t++) {
    by_lanes(width, [&](int64_t i, int64_t count) VECTORIZED {
      Floats sum = load(sums + t * pitch + i);
      for (int64_t part = 1; part < parts; part++) sum += load(sums + part * part_stride + t * pitch + i);
      store<T>(to + t * stride + i, sum * factor, count);
    });
  }
}

// Tasks for each group of heads: more than one where there are fewer groups than threads.
int64_t parts_of(const AttentionProblem &p) {
  const int64_t groups = p.batch * p.shared, blocks = (p.queries + edge - 1) / edge;
  const int64_t wanted = groups >= 2 * at::get_num_threads() ? 1 : (2 * at::get_num_threads() + groups - 1) / groups;
  return std::max<int64_t>(1, std::min(wanted, blocks / 2));
}

// body(group, part, first block of queries, last) for all tasks.
template <typename Body> void for_tasks(const AttentionProblem &p, int64_t parts, const Body &body) {
  const int64_t blocks = (p.queries + edge - 1) / edge;
  parallel_for(0, p.batch * p.shared * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t group = task / parts, part = task % parts;
      body(group, part, blocks * part / parts, blocks * (part + 1) / parts);
    }
  });
}

}  // namespace

template <typename T> void lane_attention(const AttentionProblem &p, const HeadsView &out, float *sums) {
  for_tasks(p, parts_of(p), [&](int64_t group, int64_t, int64_t first, int64_t last) {
    vectorized([&]() VECTORIZED { forward_task<T>(p, out, sums, group / p.shared, group % p.shared, first, last); });
  });
}

template <typename T>
void lane_attention_backward(const AttentionProblem &p, const HeadsView &out, const HeadsView &gradient,
                             const float *sums, const HeadsView &query_gradient, const HeadsView &key_gradient,
                             const HeadsView &value_gradient) {
  const int64_t parts = parts_of(p), groups = p.batch * p.shared;
  const int64_t width = whole_lanes(p.width), depth = whole_lanes(p.depth);
  const int64_t key_size = key_gradient.data ? p.keys * width : 0;
  const int64_t value_size = value_gradient.data ? p.keys * depth : 0;
  Scratch scratch(4 * groups * parts * (key_size + value_size) + 1024);
  auto *key_sums = key_size ? scratch.take<float>(groups * parts * key_size) : nullptr;
  auto *value_sums = value_size ? scratch.take<float>(groups * parts * value_size) : nullptr;
  for_tasks(p, parts, [&](int64_t group, int64_t part, int64_t first, int64_t last) {
    Sums added{};
    if (key_sums) added.key = key_sums + (group * parts + part) * key_size;
    if (value_sums) added.value = value_sums + (group * parts + part) * value_size;
    std::fill(added.key, added.key + key_size, 0.0f);
    std::fill(added.value, added.value + value_size, 0.0f);
    vectorized([&]() VECTORIZED {
      backward_task<T>(p, out, gradient, sums, {query_gradient, key_gradient, value_gradient}, added,
                       group / p.shared, group % p.shared, first, last);
    });
  });
  parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; group++) {
      const int64_t b = group / p.shared, head = group % p.shared;
      vectorized([&]() VECTORIZED {
        if (key_sums) {
          join<T>(key_sums + group * parts * key_size, parts, key_size, p.keys, width, p.width, p.scale * p.factor,
                  key_gradient.at<T>(b, head), key_gradient.row);
        }
        if (value_sums) {
          join<T>(value_sums + group * parts * value_size, parts, value_size, p.keys, depth, p.depth, p.factor,
                  value_gradient.at<T>(b, head), value_gradient.row);
        }
      });
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
