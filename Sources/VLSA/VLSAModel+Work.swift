import Torch

// Shapes: p pictures, c crops (snapshots and tiles), n tokens of a crop in the tower, l visual tokens of a picture,
// T positions, D width.

/// The formula of the work, as ``VLSAModel/work(for:)`` counts it, for people.
public let workFormula = """
    forward: 2 x weights x tokens of every product, and 4 x queries x keys x width of every attention, half of
    that where it is causal. backward: 2 x trained weights x tokens; and where something trains in the part or
    before it, the forward products again for the derivatives of what came in, and every attention twice.
    """

/// Work of one part, gathered product by product.
private struct WorkCount {
    /// Whether something trains in this part or before it.
    let flows: Bool
    var shapes: [WorkProduct] = []
    var products = 0.0
    var trained = 0.0
    var attention = 0.0

    mutating func add(_ weight: Tensor, rows: Int) {
        let operations = 2 * Double(weight.count) * Double(rows)
        if rows > 0 {
            let out = weight.shape[0]
            shapes.append(
                WorkProduct(
                    rows: rows, inWidth: weight.count / out, outWidth: out,
                    trainsWeight: weight.requiresGradient, passesDerivative: flows))
        }
        products += operations
        if weight.requiresGradient { trained += operations }
    }

    mutating func attend(_ queries: Int, _ keys: Int, _ width: Int, times: Int, share: Double = 1) {
        attention += 4 * Double(queries) * Double(keys) * Double(width) * Double(times) * share
    }
}

extension VLSAModel {
    /// The work of some samples, part by part, for the parameters that are trained now (`store.train`).
    ///
    /// Counted from the model's own parameters, so it follows whatever the model is built of; see
    /// ``workFormula``. Norms, pointwise functions and preprocessing are left out. Where a part trains only in
    /// some of its layers, derivatives are counted through all of them.
    public func work(for extent: StageExtent) -> [PartWork] {
        let pictures = extent.pictures
        let isUnpadded = configuration.unpadding?.isEnabled == true
        let crops = pictures + (perceiver == nil && !isUnpadded ? 0 : extent.tiles)
        let perPicture = visualTokenCount
        let visual = pictures * perPicture
        let size = store.dtype.size
        var parts: [PartWork] = []
        var flows = false  // whether something trains in this part or before it
        func add(
            _ part: String, _ tokens: String, layers: Int, layerBytes: Int, extraBytes: Int = 0,
            rows: (String) -> Int, attend: (inout WorkCount) -> Void = { _ in }
        ) {
            let tensors = store.tensors(under: part)
            guard !tensors.isEmpty else { return }
            if tensors.contains(where: { $0.tensor.requiresGradient }) { flows = true }
            var count = WorkCount(flows: flows)
            for (name, tensor) in tensors where tensor.rank >= 2 {
                count.add(tensor, rows: rows(String(name.dropFirst(part.count + 1))))
            }
            attend(&count)
            parts.append(
                PartWork(
                    part: part, tokens: tokens, forward: count.products + count.attention,
                    backward: flows ? count.products + count.trained + 2 * count.attention : 0,
                    products: count.shapes, attention: (flows ? 3 : 1) * count.attention,
                    activationBytes: (flows ? layers : min(1, layers)) * layerBytes + extraBytes))
        }

        let tower = vision.configuration
        let (n, layers) = (
            tower.tokenCount + (tower.hasClassToken ? 1 : 0),
            vision.resolved(configuration.features.layer)
        )
        add(
            "vision", "\(crops) x \(n)", layers: layers,
            layerBytes: crops * n * (6 * tower.width + tower.hiddenWidth) * size,
            rows: { name in
                if name.contains("patch_embed") { return crops * tower.tokenCount }
                return layerIndex(name).map { $0 < layers ? crops * n : 0 } ?? 0
            }, attend: { $0.attend(n, n, tower.width, times: crops * layers) })

        func addProjector() {
            let count =
                perceiver == nil
                ? (isUnpadded ? crops * perPicture : visual)
                : perceiver?.configuration.space == .language
                    ? crops * perPicture : visual + pictures
            add(
                "projector", "\(count)", layers: 1,
                layerBytes: count * (tower.width + 3 * language.width) * size, rows: { _ in count })
        }
        let perceivesProjected = perceiver?.configuration.space == .language
        if perceivesProjected { addProjector() }
        if perceiver != nil {
            let keys = extent.tiles * perPicture
            let queries = visual + pictures
            let width = perceivesProjected ? language.width : tower.width
            add(
                "perceiver", "\(queries) from \(keys)", layers: 1,
                // No table of scores is kept, whatever the activation.
                layerBytes: (3 * keys + 12 * queries) * width * size,
                rows: { name in
                    let onTiles = ["kv_proj.", "k_proj.", "v_proj."]
                    if name.hasPrefix("gather."), onTiles.contains(where: name.contains) {
                        return keys
                    }
                    return name.contains("_proj.") ? queries : 0
                },
                attend: {
                    // Each picture's queries see its own tiles.
                    $0.attend(perPicture + 1, keys, width, times: 1)
                    $0.attend(perPicture + 1, queries, width, times: 1)
                })
        }
        if !perceivesProjected { addProjector() }
        let visualFlows = flows

        let decoder = language.configuration
        let wide = decoder.headCount * decoder.headWidth
        let narrow = decoder.keyValueHeadCount * decoder.headWidth
        let length = extent.lengths.reduce(0, +)
        let layerWidth = 2 * decoder.width + 2 * wide + 2 * narrow + 2 * decoder.hiddenWidth
        // Logits exist at supervised positions only: in the store's type, and in fp32 within the loss.
        let logits = extent.predictions * decoder.vocabularySize * (size + 4)
        add(
            "language", "\(length)", layers: decoder.layerCount,
            layerBytes: length * layerWidth * size, extraBytes: logits,
            rows: { name in
                if name.hasPrefix("lm_head.") { return extent.predictions }
                if name.contains("embed_tokens") {
                    return decoder.tiesEmbeddings ? extent.predictions : 0
                }
                return layerIndex(name) == nil ? 0 : length
            },
            attend: { count in
                for (index, length) in (0..<decoder.layerCount).flatMap({ index in
                    extent.lengths.map { (index, $0) }
                }) where length > 0 {
                    let window = min(length, decoder.window(ofLayer: index) ?? length)
                    // Σ min(t + 1, window) keys, of which T² / 2 without a window.
                    let share = 1 - Double(window) / Double(2 * length)
                    count.attend(length, window, wide, times: 1, share: share)
                }
            })

        func addReconstruction(_ reconstruction: Reconstruction) {
            flows = visualFlows
            add(
                "epigone", "\(visual + pictures)", layers: 1,
                layerBytes: (visual + pictures) * (language.width + 2 * configuration.epigone.rank)
                    * size,
                rows: { $0.hasPrefix("context.") ? visual : pictures })
            let flow = reconstruction.denoiser.configuration
            let cells = square(
                configuration.objective.pictureSize
                    / (reconstruction.latents.downscale * flow.patchSize))
            let image = pictures * cells
            add(
                "denoiser", "\(image) + \(visual)", layers: flow.layerCount,
                layerBytes: (image + visual) * 12 * flow.width * size,
                rows: { name in
                    denoiserRows(name, pictures: pictures, image: image, prompt: visual)
                },
                attend: { count in
                    let all = cells + perPicture
                    count.attend(all, all, flow.width, times: pictures * flow.layerCount)
                    let dual = flow.dualAttentionLayers.count
                    count.attend(cells, cells, flow.width, times: pictures * dual)
                })
        }
        func addROSS(_ ross: ROSS) {
            let (settings, copies) = (
                ross.configuration, pictures * ross.configuration.noiseSamples
            )
            let tokens = copies * perPicture
            add(
                "ross", "\(copies) x \(perPicture)", layers: settings.layerCount,
                // Six numbers of steering a block and channel, beside what the denoiser's blocks keep.
                layerBytes: tokens * 18 * settings.width * size,
                rows: { name in
                    if name == "pos_embed" { return 0 }  // added, not multiplied
                    if name.hasPrefix("t_embedder.") { return copies }
                    return name.hasPrefix("z_embedder.") ? visual : tokens
                },
                attend: {
                    $0.attend(
                        perPicture, perPicture, settings.width, times: copies * settings.layerCount)
                })
        }
        func addASVR(_ asvr: ASVR) {
            let (settings, depth) = (asvr.configuration, asvr.codes.depth)
            let places = pictures * (perPicture - settings.visualShift)
            add(
                "asvr", "\(places) x \(depth)", layers: settings.layerCount,
                layerBytes: places * depth * 16 * settings.width * size,
                extraBytes: places * depth * asvr.codes.codeCount * (size + 4),
                rows: { name in
                    if name.contains(".in_mlp_1.") { return places * (depth - 1) }
                    // A depth has a share of the feed-forward weights to itself, and a head.
                    return name.contains(".self_attention.") ? places * depth : places
                },
                attend: {
                    $0.attend(
                        depth, depth, settings.width, times: places * settings.layerCount,
                        share: 0.5)
                })
        }
        if let ross { addROSS(ross) }
        if let asvr { addASVR(asvr) }
        if let reconstruction { addReconstruction(reconstruction) }
        guard let latents else { return parts }
        let pixels = ross?.pictureSize ?? configuration.objective.pictureSize
        flows = false
        add(
            "latents", "\(pictures) x \(pixels) x \(pixels)", layers: 1,
            // The widest grids: a level's input, its norm and what comes out, and the picture itself.
            layerBytes: pictures * square(pixels) * 4 * latentEntryWidth() * size,
            rows: { pictures * latentRows($0, side: pixels, cell: latents.downscale) },
            attend: { count in
                for (name, query) in store.tensors(under: "latents.encoder")
                where name.hasSuffix(".to_q.weight") {
                    let cells = latentRows(
                        String(name.dropFirst("latents.".count)), side: pixels,
                        cell: latents.downscale)
                    count.attend(cells, cells, query.shape[0], times: pictures)
                }
            })
        return parts
    }

    /// Channels at the picture's own resolution, 1 where there is no such level.
    private func latentEntryWidth() -> Int {
        store["latents.encoder.conv_in.weight"]?.shape[0] ?? 1
    }
}

private func square(_ side: Int) -> Int { side * side }

/// The number behind `layers.` or `layer.`; nil for what is in no layer.
private func layerIndex(_ name: String) -> Int? {
    let segments = name.split(separator: ".")
    guard let place = segments.firstIndex(where: { $0 == "layers" || $0 == "layer" }),
        place + 1 < segments.count
    else { return nil }
    return Int(segments[place + 1])
}

/// Tokens that a product of the denoiser sees: the conditioning is one vector a picture.
private func denoiserRows(
    _ name: String, pictures: Int, image: Int, prompt: Int
) -> Int {
    if name.hasPrefix("pos_embed.pos_embed") { return 0 }  // added, not multiplied
    if name.hasPrefix("time_text_embed.") || name.hasPrefix("norm_out.") { return pictures }
    if name.contains(".norm1.") || name.contains(".norm1_context.") { return pictures }
    if name.hasPrefix("context_embedder.") { return prompt }
    let ofPrompt = [".add_q_proj.", ".add_k_proj.", ".add_v_proj.", ".to_add_out.", ".ff_context."]
    return ofPrompt.contains { name.contains($0) } ? prompt : image
}

/// Cells that a convolution of the frozen encoder is applied to; the decoder is not used in training.
private func latentRows(_ name: String, side: Int, cell: Int) -> Int {
    if name.hasPrefix("basis") { return square(side / cell) }  // Karhunen-Loève
    let segments = name.split(separator: ".")
    guard segments.first == "encoder", segments.count > 2 else {
        return segments.first == "quant_conv" ? square(side / cell) : 0
    }
    switch segments[1] {
    case "conv_in": return square(side)
    case "down_blocks":
        let level = Int(segments[2]) ?? 0
        let halved = segments.contains("downsamplers") ? level + 1 : level
        return square(max(1, side >> halved))
    default: return square(side / cell)
    }
}
