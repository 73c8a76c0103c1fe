import Corpus
import Torch
import TorchNN
import VLSA

extension VLSAModel {
    /// Operations of the matrix products that a step over some samples needs, as models' FLOPs are usually
    /// given: two for each multiplication and addition, forward, and backward through what is trained or lies
    /// above it. Activations that are computed twice count once; the frozen latents, norms and element-wise
    /// work do not count.
    public func operations(_ samples: [Sample]) -> Double? {
        let pictures = samples.flatMap(\.pictures)
        var total = 0.0
        let tower = vision.configuration
        let patches = Double(tower.tokenCount)
        let towerTokens = patches + (tower.hasClassToken ? 1 : 0)
        let isUnpadded = configuration.unpadding?.isEnabled == true
        let tiles = pictures.reduce(0) {
            $0 + (perceiver == nil && !isUnpadded ? 0 : $1.tileCount)
        }
        let views = Double(pictures.count + tiles)
        let visual = Double(pictures.count * visualTokenCount)

        if !pictures.isEmpty {
            let towerPasses = passes("vision", below: [])
            total += products("vision", below: []) { name in
                name.contains("position") ? 0 : views * towerTokens
            }
            total += towerPasses * views * Double(tower.layerCount)
                * attention(towerTokens, towerTokens, width: tower.width)
            let pooled = Double(pictures.count)
            let tileTokens = Double(tiles) * patches
            if let perceiver {
                let width =
                    perceiver.configuration.space == .vision ? tower.width : language.width
                total += products("perceiver", below: ["vision"]) { name in
                    name.contains("gather.k") || name.contains("gather.v") ? tileTokens : visual + pooled
                }
                let perPicture = pictures.reduce(0.0) { sum, picture in
                    sum + attention(patches + 1, Double(picture.tileCount) * patches, width: width)
                        + attention(patches + 1, patches + 1, width: width)
                }
                total += passes("perceiver", below: ["vision"]) * perPicture
            }
            let isProjectedFirst = isUnpadded || perceiver?.configuration.space == .language
            total += products("projector", below: ["vision", "perceiver"]) { _ in
                isProjectedFirst ? views * patches : visual + (perceiver == nil ? 0 : pooled)
            }
        }

        let below = ["vision", "perceiver", "projector"]
        let tokens = Double(samples.reduce(0) { $0 + $1.tokenCount })
        let supervised = Double(counts(samples)["text"] ?? 0)
        let embeddings = store["language.model.embed_tokens.weight"]
        if language.configuration.tiesEmbeddings, let embeddings {
            total += 2 * supervised * Double(embeddings.count)
                * passes("language", below: below)
        }
        total += products("language", below: below) { name in
            name.contains("embed_tokens") ? 0 : name.contains("lm_head") ? supervised : tokens
        }
        let heads = language.configuration.headCount * language.configuration.headWidth
        let causal = samples.reduce(0.0) {
            $0 + attention(Double($1.tokenCount), Double($1.tokenCount), width: heads) / 2
        }
        total += passes("language", below: below) * causal
            * Double(language.configuration.layerCount)

        if let reconstruction, !pictures.isEmpty {
            let below = below + ["epigone"]
            let denoiser = reconstruction.denoiserConfiguration
            let side = reconstruction.configuration.pictureSize / reconstruction.latents.downscale
                / denoiser.patchSize
            let cells = Double(side * side)
            total += products("epigone", below: ["vision", "perceiver", "projector"]) { name in
                name.contains("pooled") ? Double(pictures.count) : visual
            }
            total += products("denoiser", below: below) { name in
                if name.contains("norm") || name.contains("time_text_embed") {
                    return Double(pictures.count)
                }
                let isPrompt = name.contains("context") || name.contains("add_")
                return isPrompt ? visual : Double(pictures.count) * cells
            }
            let joint = cells + Double(visualTokenCount)
            total += passes("denoiser", below: below) * Double(pictures.count)
                * Double(denoiser.layerCount)
                * attention(joint, joint, width: denoiser.headCount * denoiser.headWidth)
        }
        return total
    }

    /// Scores and mixed values of `queries` x `keys` positions.
    private func attention(_ queries: Double, _ keys: Double, width: Int) -> Double {
        4 * queries * keys * Double(width)
    }

    /// Passes through products of two activations: forward, and twice as much backward where anything learns.
    private func passes(_ part: String, below: [String]) -> Double {
        learns([part] + below) ? 3 : 1
    }

    /// Operations of a part's weights, each of which meets `rows` vectors.
    private func products(
        _ part: String, below: [String], rows: (_ name: String) -> Double
    ) -> Double {
        let inputs = learns([part] + below) ? 1.0 : 0
        return store.tensors(under: part).reduce(0) { sum, entry in
            guard entry.tensor.rank > 1 else { return sum }
            let passes = 1 + inputs + (entry.tensor.requiresGradient ? 1 : 0)
            return sum + 2 * rows(entry.name) * Double(entry.tensor.count) * passes
        }
    }

    private func learns(_ parts: [String]) -> Bool {
        store.trainable.contains { name, _ in parts.contains { isPrefix($0, of: name) } }
    }
}
