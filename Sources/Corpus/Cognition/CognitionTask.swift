import Prompting

/// A question about a picture's raw content whose answer is computed, not annotated (VLSA section 3.3).
public enum CognitionTask: String, Codable, CaseIterable, Sendable, CodingKeyRepresentable {
    /// The codes of the whole picture on a coarse grid.
    case vqGrid = "vq_grid"
    /// The codes of a window of the grid.
    case vqWindow = "vq_window"
    /// The code of one cell.
    case vqCell = "vq_cell"
    /// The codes of several cells.
    case vqCells = "vq_cells"
    /// The cells that have a given code.
    case vqFind = "vq_find"
    /// Mean colours, on a small grid, of the quarter of the picture right and below of a random vertex.
    case pxQuarter = "px_quarter"
    /// Mean colours, on a small grid, of a small window.
    case pxWindow = "px_window"
    /// The colour of one pixel.
    case pxPoint = "px_point"
    /// The cell that has a given mean colour.
    case pxFind = "px_find"

    /// Whether the task asks for codes, and so needs a codebook.
    public var needsCodebook: Bool {
        switch self {
        case .vqGrid, .vqWindow, .vqCell, .vqCells, .vqFind: true
        case .pxQuarter, .pxWindow, .pxPoint, .pxFind: false
        }
    }

    /// What its templates may and must say. Rows and columns are counted from 1, the top left being first.
    var schema: TemplateSchema {
        let grid: Set = ["rows", "columns"]
        let region: Set = ["left", "top", "frame"]
        let (required, optional): (Set<String>, Set<String>) =
            switch self {
            case .vqGrid: (grid, ["codes"])
            case .vqWindow:
                (grid.union(["top", "bottom", "left", "right"]), ["codes", "height", "width"])
            case .vqCell: (grid.union(["row", "column"]), ["codes"])
            case .vqCells: (grid.union(["cells"]), ["codes", "count"])
            case .vqFind: (grid.union(["code"]), ["codes"])
            case .pxQuarter: (grid.union(region), ["right", "bottom", "highest"])
            case .pxWindow: (grid.union(region).union(["right", "bottom"]), ["highest"])
            case .pxPoint: (["x", "y", "frame"], ["highest"])
            case .pxFind: (grid.union(["colour"]), ["highest"])
            }
        return TemplateSchema(
            task: rawValue, required: required, optional: optional,
            answers: AnswerFormat.allCases.map(\.rawValue))
    }
}

/// Short phrases that the tasks' templates are completed with, templates themselves.
enum CognitionPhrase: String, CaseIterable {
    /// How coordinates are counted, for `frame`.
    case thousandths = "frame_thousandths"
    case pixels = "frame_pixels"
    case padded = "frame_padded"
    /// Which of several pictures a question is about; stands before it.
    case picture = "which_picture"

    var schema: TemplateSchema {
        switch self {
        case .thousandths: TemplateSchema(task: rawValue, required: [])
        case .pixels, .padded: TemplateSchema(task: rawValue, required: ["width", "height"])
        case .picture: TemplateSchema(task: rawValue, required: ["number"])
        }
    }
}

extension TemplateLibrary {
    /// The templates of the cognition tasks in `folders`, checked; `Templates/cognition` holds the package's own.
    public static func cognition(_ folders: String...) throws -> TemplateLibrary {
        try cognition(folders: folders)
    }

    /// The templates of the cognition tasks in `folders`, checked.
    public static func cognition(folders: [String]) throws -> TemplateLibrary {
        try TemplateLibrary(folders: folders, schemas: cognitionSchemas)
    }

    /// The good templates of the cognition tasks in `folders`, and every fault.
    public static func checkedCognition(
        folders: [String]
    ) -> (library: TemplateLibrary, problems: [TemplateError]) {
        checked(folders: folders, schemas: cognitionSchemas)
    }

    /// The names that a folder of cognition templates may hold: tasks and the phrases they are completed with.
    public static var cognitionTasks: [String] { cognitionSchemas.map(\.task) }

    private static var cognitionSchemas: [TemplateSchema] {
        CognitionTask.allCases.map(\.schema) + CognitionPhrase.allCases.map(\.schema)
    }

    /// Phrases of which a language has none though one of its questions may need them, by language.
    public var missingPhrases: [String: [String]] {
        var missing: [String: [String]] = [:]
        let tasks = CognitionTask.allCases.map(\.rawValue)
        for language in Set(tasks.flatMap { languages(task: $0) }) {
            let phrases = CognitionPhrase.allCases.map(\.rawValue)
                .filter { templates(task: $0, language: language).isEmpty }
            if !phrases.isEmpty { missing[language] = phrases }
        }
        return missing
    }
}

extension TemplateLibrary {
    /// A wording of a cognition task with made-up values for its fields.
    public func cognitionExample(of template: PromptTemplate) -> String {
        let language = template.language
        let frame = templates(task: CognitionPhrase.thousandths.rawValue, language: language).first
        var values = Self.exampleValues
        values["frame"] = frame?.text ?? CognitionPhrase.thousandths.rawValue
        if !template.task.hasPrefix("vq_") {  // in coordinates, not in cells
            values.merge(Self.exampleCoordinates) { $1 }
        }
        return template.render(values)
    }

    private static let exampleValues = [
        "rows": "4", "columns": "6", "top": "2", "bottom": "3", "left": "1", "right": "4",
        "height": "2", "width": "4", "row": "2", "column": "5", "cells": "(1, 2), (3, 6)",
        "count": "2", "code": "17", "codes": "256", "highest": "255", "colour": "(200,31,40)",
        "number": "2",
    ]

    private static let exampleCoordinates = [
        "top": "120", "bottom": "370", "left": "250", "right": "500", "x": "420", "y": "310",
        "height": "960", "width": "1280",
    ]
}
