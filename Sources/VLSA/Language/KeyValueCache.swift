import Torch

/// Keys and values of the tokens a decoder has seen, so that each new token costs one step.
///
/// For inference: what is stored carries no gradient. One cache belongs to one batch; its room
/// grows by doubling.
public final class KeyValueCache {
    /// Tokens stored, the same for every row of the batch.
    public private(set) var length = 0
    private var keys: [Tensor] = []  // per layer [B, K, room, d]
    private var values: [Tensor] = []
    private let firstRoom: Int

    /// - Parameter room: tokens to make room for at first.
    public init(room: Int = 256) { firstRoom = max(1, room) }

    /// Stores a layer's new `[B, K, T, d]` and gives all of them, `[B, K, length + T, d]`.
    func append(layer: Int, key: Tensor, value: Tensor) -> (key: Tensor, value: Tensor) {
        withoutGradients {
            let total = length + key.shape[2]
            if layer == keys.count {
                keys.append(room(for: total, like: key, keeping: nil))
                values.append(room(for: total, like: value, keeping: nil))
            } else if keys[layer].shape[2] < total {
                keys[layer] = room(for: total, like: key, keeping: keys[layer])
                values[layer] = room(for: total, like: value, keeping: values[layer])
            }
            let count = key.shape[2]
            keys[layer].narrowed(axis: 2, start: length, length: count).copy(from: key)
            values[layer].narrowed(axis: 2, start: length, length: count).copy(from: value)
            return (
                keys[layer].narrowed(axis: 2, start: 0, length: total),
                values[layer].narrowed(axis: 2, start: 0, length: total)
            )
        }
    }

    /// Counts tokens in once every layer has stored theirs.
    func advance(by count: Int) { length += count }

    private func room(for total: Int, like tensor: Tensor, keeping old: Tensor?) -> Tensor {
        var shape = tensor.shape
        shape[2] = max(total, firstRoom, (old?.shape[2] ?? 0) * 2)
        let made = Tensor.zeros(shape, dtype: tensor.dtype, device: tensor.device)
        if let old, length > 0 {
            made.narrowed(axis: 2, start: 0, length: length)
                .copy(from: old.narrowed(axis: 2, start: 0, length: length))
        }
        return made
    }
}
