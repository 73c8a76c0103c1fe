import Torch
import TorchNN
import VLSA

/// What a stage is and takes, from its file and the configurations it names alone: the very model, groups and
/// optimizer of the training run, without values. No weight is read; where there are weight files, their headers
/// are checked.
public struct StageOutline {
    public let plan: TrainingPlan
    /// On ``Torch/Device/meta``, its parameters trained as the stage says.
    public let model: VLSAModel
    /// The largest sample the stage allows.
    public let extent: StageExtent
    /// Work of that sample, by part.
    public let work: [PartWork]
    let optimizer: AdamW
    /// The stage that makes the model this one starts from, where that was not run yet.
    let previous: String?

    /// - Parameter previous: the stage that makes this one's `model:` folder, for when there is none yet.
    /// - Throws: ``ExitCoded`` errors with 64 for whatever would keep the stage from training.
    public init(_ plan: TrainingPlan, following previous: StageOutline? = nil) throws {
        self.plan = plan
        let parts = try StageParts(plan, elsewhere: true)
        var isPlanned = false
        if case .folder(let folder, _, _, _) = parts.source, !folder.exists {
            guard previous != nil else {
                throw PlanError.unusable(
                    key: "model",
                    reason:
                        "\(folder.path): no such folder; if an earlier stage is to make it, name "
                        + "that stage's file before this one")
            }
            isPlanned = true
        }
        try plan.checkPaths(modelIsPlanned: isPlanned)
        model = try parts.outline(following: isPlanned ? previous?.model : nil)
        try TrainableTable.train(plan.loop, in: model.store)
        optimizer = AdamW(groups: TrainableTable.groups(plan.loop, of: model.store))
        extent = model.largestSample(maxLength: parts.data.maxLength)
        work = model.work(for: extent)
        self.previous = isPlanned ? previous?.plan.name : nil
    }

    // MARK: Figures

    /// Operations of one optimizer step at most.
    public var stepOperations: Double {
        Double(plan.batch.samples) * work.reduce(0) { $0 + $1.forward + $1.backward }
    }

    /// Bytes of memory in each process, by what takes them.
    ///
    /// - Parameter processes: that train together, the optimizer's state divided among them with `processes.zero` 1 or 2.
    public func memory(processes: Int = 1) -> [(name: String, bytes: Int)] {
        let trained = model.store.trainable.reduce(0) { $0 + $1.tensor.byteCount }
        let state = optimizer.state.reduce(0) { $0 + $1.1.byteCount }
        let owners = plan.processes.zero > 0 ? processes : 1
        let atOnce = min(plan.batch.micro, max(1, plan.batch.samples / processes))
        return [
            ("weights", model.store.tensors().reduce(0) { $0 + $1.tensor.byteCount }),
            ("gradients", trained),
            ("optimizer", (state + owners - 1) / owners),
            ("activations", atOnce * work.reduce(0) { $0 + $1.activationBytes }),
        ] + (model.asvr.map { [("codebook", $0.codes.byteCount)] } ?? [])
    }

    /// Parts whose folders have a configuration and no weights, so that the stage cannot be trained yet.
    public var partsWithoutWeights: [String] {
        ["vision", "language", "denoiser", "latents"].filter { part in
            let names = model.store.tensors(under: part).map(\.name)
            return !names.isEmpty && !names.contains { model.store.sources[$0] != nil }
        }
    }

    /// What a reader should know although nothing is wrong.
    public var notes: [String] {
        var notes: [String] = []
        if let previous {
            notes.append("model: not there yet; taken to be what the stage \(previous) will save")
        }
        for part in partsWithoutWeights {
            notes.append(
                "\(part): its folder has a configuration and no weights; train will refuse it")
        }
        let context = model.language.configuration.contextLength
        let length = plan.data?.maxLength ?? 0
        if length > context {
            notes.append(
                "data.maxLength \(length) is more than the \(context) positions the decoder "
                    + "was trained on")
        }
        return notes
    }
}

extension StageParts {
    /// The stage's model on ``Torch/Device/meta``, or what the stage makes of an outline of the one before.
    func outline(following previous: VLSAModel?) throws -> VLSAModel {
        do {
            let model = try previous.map(next) ?? model(.plan, on: .meta)
            try check(model)
            return model
        } catch let error where !(error is any ExitCoded) {
            throw PlanError.unusable(key: "model", reason: "\(error)")
        }
    }

    private func next(after previous: VLSAModel) throws -> VLSAModel {
        let tokens = try answerTokens()
        var added: (denoiser: PlanPath?, latents: PlanPath?, codebook: PlanPath?)
        if case .folder(_, let denoiser, let latents, let codebook) = source {
            added = (denoiser, latents, codebook)
        }
        let model = try VLSAModel(
            following: previous, replacing: plan.sections, denoiser: added.denoiser?.path,
            latents: added.latents?.path, codebook: added.codebook?.path, addingTokens: tokens,
            dtype: plan.dtype.type,
            lora: plan.lora?.configuration)
        // Rows that an earlier stage added have been learned there.
        return tokens.contains { previous.tokenizer.id(of: $0) == nil } ? try checked(model) : model
    }
}
